//! A value that is never shown.

use std::fmt;
use std::path::PathBuf;

use super::expand;

/// A password, token or key. `Debug` and `Display` say only that there is one.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret {
    text: String,
    /// The file that holds nothing else: `${file:PATH}` alone.
    file: Option<PathBuf>,
}

/// What stands in the place of a secret wherever values are shown.
pub const REDACTED: &str = "<redacted>";

impl Secret {
    /// Wraps a value.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self { text: value.into(), file: None }
    }

    /// A value that was read from this file, and may be read again when it does not open any more.
    #[must_use]
    pub fn from_file(value: impl Into<String>, file: PathBuf) -> Self {
        Self { text: value.into(), file: Some(file) }
    }

    /// The value as its file holds it now; `None` when it comes from no file, and so cannot change.
    ///
    /// # Errors
    /// When the file cannot be read: which one, and why.
    pub fn read_again(&self) -> Result<Option<Self>, String> {
        let Some(file) = &self.file else {
            return Ok(None);
        };
        match expand::text_of(file) {
            Ok(text) => Ok(Some(Self { text, file: Some(file.clone()) })),
            Err(error) => Err(format!("cannot read {}: {error}", file.display())),
        }
    }

    /// The value itself, for the one call that authenticates.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// Whether nothing was set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.text.is_empty() { "" } else { REDACTED })
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}
