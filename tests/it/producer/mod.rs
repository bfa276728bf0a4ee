//! What a producer does for who sends.

mod serializers;
