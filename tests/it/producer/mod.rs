//! What a producer does for who sends.

mod interceptors;
mod partitioners;
mod serializers;
