//! What a producer does for who sends.

mod closing;
mod interceptors;
mod partitioners;
mod retries;
mod serializers;
