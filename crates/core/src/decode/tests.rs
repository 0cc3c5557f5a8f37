//! Decoding as a whole: messages in, cells out.
