//! HTTP: what a request says, how its body arrives, what an answer looks like.

pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod multipart;
pub(crate) mod request;
