//! `${VAR}`, `${VAR:-default}` and `${file:PATH}` inside values; `$${` is a plain `${`.

use std::path::{Path, PathBuf};

use super::environment::Environment;

/// Why a placeholder cannot be filled: what is wrong, and what would be right.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unfilled {
    pub(super) what: String,
    pub(super) hint: String,
}

impl Unfilled {
    fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: hint.into() }
    }
}

/// Fills placeholders. Relative paths of `${file:…}` start at `folder`, where the file lies.
#[derive(Debug)]
pub(super) struct Expansion<'a> {
    pub(super) environment: &'a Environment,
    pub(super) folder: &'a Path,
}

impl Expansion<'_> {
    /// The text with every placeholder filled.
    ///
    /// # Errors
    /// A variable that is not set, a file that cannot be read, a placeholder without its end. The
    /// error names the placeholder's variable or path, never a value.
    pub(super) fn expand(&self, text: &str) -> Result<String, Unfilled> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            if let Some(before) = rest[..at].strip_suffix('$') {
                out.push_str(before);
                out.push_str("${");
                rest = &rest[at + 2..];
                continue;
            }
            out.push_str(&rest[..at]);
            let inside = &rest[at + 2..];
            let Some(end) = closing(inside) else {
                return Err(Unfilled::new(
                    "a placeholder ${ has no end",
                    "close it with }, or write $${ for a plain ${",
                ));
            };
            out.push_str(&self.fill(&inside[..end])?);
            rest = &inside[end + 1..];
        }
        out.push_str(rest);
        Ok(out)
    }

    fn fill(&self, placeholder: &str) -> Result<String, Unfilled> {
        if let Some(path) = placeholder.strip_prefix("file:") {
            return self.read(path);
        }
        let (name, default) = match placeholder.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (placeholder, None),
        };
        if !is_variable_name(name) {
            return Err(Unfilled::new(
                "a placeholder is neither a variable nor a file",
                "write ${NAME}, ${NAME:-default} or ${file:/path}, or $${ for a plain ${",
            ));
        }
        match (self.environment.variables.get(name), default) {
            (Some(value), None) => Ok(value.clone()),
            (Some(value), Some(_)) if !value.is_empty() => Ok(value.clone()),
            (_, Some(default)) => self.expand(default),
            (None, None) => Err(Unfilled::new(
                format!("the environment variable {name} is not set"),
                format!("set {name}, or write ${{{name}:-default}}"),
            )),
        }
    }

    /// The file that makes up the whole of a text, as `${file:PATH}` alone.
    pub(super) fn file_of(&self, text: &str) -> Option<PathBuf> {
        let path = text.strip_prefix("${file:")?.strip_suffix('}')?;
        (!path.contains(['{', '}'])).then(|| self.folder.join(path))
    }

    fn read(&self, path: &str) -> Result<String, Unfilled> {
        let full: PathBuf = self.folder.join(path);
        match text_of(&full) {
            Ok(text) => Ok(text),
            Err(error) => Err(Unfilled::new(
                format!("cannot read {}: {error}", full.display()),
                "${file:PATH} names a readable UTF-8 file; relative paths start at the \
                 configuration file",
            )),
        }
    }
}

/// A file's text without the line break that editors put at its end.
pub(super) fn text_of(file: &Path) -> std::io::Result<String> {
    Ok(std::fs::read_to_string(file)?.trim_end_matches(['\n', '\r']).to_owned())
}

/// Index of the `}` that closes a placeholder whose `${` has been passed; defaults may nest.
fn closing(inside: &str) -> Option<usize> {
    let mut depth = 1_u32;
    let mut previous = ' ';
    for (index, letter) in inside.char_indices() {
        match letter {
            '{' if previous == '$' => depth += 1,
            '}' => {
                depth -= 1;
                if depth == 0 {
                    return Some(index);
                }
            }
            _ => {}
        }
        previous = letter;
    }
    None
}

fn is_variable_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str) -> Result<String, Unfilled> {
        let mut environment = Environment::default();
        environment.variables.insert("NAME".into(), "bridge".into());
        environment.variables.insert("EMPTY".into(), String::new());
        Expansion { environment: &environment, folder: Path::new("/nowhere") }.expand(text)
    }

    #[test]
    fn placeholders_are_filled_as_a_shell_does() {
        for (text, expected) in [
            ("plain $5", "plain $5"),
            ("${NAME}", "bridge"),
            ("a-${NAME}-${NAME}", "a-bridge-bridge"),
            ("${MISSING:-other}", "other"),
            ("${MISSING:-}", ""),
            ("${NAME:-other}", "bridge"),
            ("${EMPTY}", ""),
            ("${EMPTY:-other}", "other"),
            ("${MISSING:-${NAME}-1}", "bridge-1"),
            ("$${NAME}", "${NAME}"),
            ("é${NAME}é", "ébridgeé"),
        ] {
            assert_eq!(expand(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_filled_is_named() {
        let what = |text| expand(text).unwrap_err().what;
        assert_eq!(what("${MISSING}"), "the environment variable MISSING is not set");
        assert_eq!(what("${MISSING:-${OTHER}}"), "the environment variable OTHER is not set");
        assert!(what("${NAME").contains("no end"));
        assert!(what("${a b}").contains("neither"));
        assert!(what("${}").contains("neither"));
        assert!(what("${file:secret.txt}").contains("/nowhere/secret.txt"));
    }

    #[test]
    fn a_file_is_read_beside_the_configuration_without_its_last_line_break() {
        let folder =
            std::env::temp_dir().join(format!("data-bridge-expand-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("password"), "s3 cret\n").unwrap();
        let environment = Environment::default();
        let expansion = Expansion { environment: &environment, folder: &folder };
        assert_eq!(expansion.expand("x${file:password}").as_deref(), Ok("xs3 cret"));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
