//! External tables: the files of a multipart body as temporary tables of its connection.

use crate::exception::Exception;
use crate::ffi::Connection;
use crate::http::multipart;
use crate::statement;

use super::execute::DEFAULT_FORMAT;

/// A file of a multipart body as a temporary table of its connection.
pub(super) struct External {
    name: String,
    format: String,
    structure: String,
    data: Vec<u8>,
}

impl External {
    /// Joins the files with their parameters `<table>_format`, `<table>_structure` and
    /// `<table>_types`, which are no settings.
    pub(super) fn take(
        parts: Vec<multipart::Part>,
        settings: &mut Vec<(String, String)>,
    ) -> Result<Vec<Self>, Exception> {
        let mut parameter = |name: String| {
            let at = settings.iter().position(|(key, _)| *key == name)?;
            Some(settings.remove(at).1)
        };
        let mut tables = Vec::with_capacity(parts.len());
        for part in parts {
            let format = parameter(format!("{}_format", part.name));
            let structure = parameter(format!("{}_structure", part.name));
            let types = parameter(format!("{}_types", part.name));
            let structure = structure.or_else(|| types.map(|types| numbered(&types)));
            let Some(structure) = structure else {
                let message = format!(
                    "external table {0} needs the parameter {0}_structure or {0}_types",
                    part.name
                );
                return Err(Exception::new(36, "BAD_ARGUMENTS", &message));
            };
            tables.push(Self {
                name: part.name,
                format: format.unwrap_or_else(|| DEFAULT_FORMAT.to_owned()),
                structure,
                data: part.data,
            });
        }
        Ok(tables)
    }

    pub(super) fn create(&self, connection: &mut Connection) -> Result<(), Exception> {
        let name = statement::identifier(&self.name);
        let create = format!("CREATE TEMPORARY TABLE {name} ({})", self.structure);
        let refused = |error: String| Exception::parse(&error);
        connection.query(create.as_bytes(), "Null", &[]).map_err(refused)?;
        let sql = format!("INSERT INTO {name}");
        let mut insert = connection.insert(sql.as_bytes(), &self.format, &[]).map_err(refused)?;
        insert.append(&self.data).map_err(refused)?;
        insert.finish().map_err(refused)?;
        Ok(())
    }

    /// A session's connection lives on; the table does not.
    pub(super) fn drop(&self, connection: &mut Connection) {
        let sql = format!("DROP TEMPORARY TABLE IF EXISTS {}", statement::identifier(&self.name));
        if let Err(error) = connection.query(sql.as_bytes(), "Null", &[]) {
            tracing::debug!(%error, "an external table stays in its session");
        }
    }
}

/// `UInt8, String` as columns `_1`, `_2`, the way ClickHouse names them.
fn numbered(types: &str) -> String {
    let mut structure = String::new();
    let mut depth = 0_usize;
    let mut column = 1;
    structure.push_str("_1 ");
    for sign in types.chars() {
        match sign {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                column += 1;
                structure.extend([", _", &column.to_string(), " "]);
                continue;
            }
            _ => {}
        }
        structure.push(sign);
    }
    structure
}
