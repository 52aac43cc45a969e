//! Which role grants what, as a table and as a picture.

use std::{collections::BTreeMap, fmt::Write as _};

use tenancy_core::{PermissionKey, RoleKey};

/// A role in a [`RoleMatrix`].
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct MatrixRole {
    /// Its key.
    pub key: RoleKey,
    /// Its name for people.
    pub name: String,
    /// What it grants, and whether by name; false for what a wildcard or a parent brings.
    pub grants: BTreeMap<PermissionKey, bool>,
}

impl MatrixRole {
    /// A role and what it grants, for implementors of [`PolicyStore`](crate::PolicyStore).
    pub fn new(
        key: RoleKey,
        name: impl Into<String>,
        grants: BTreeMap<PermissionKey, bool>,
    ) -> Self {
        let name = name.into();
        Self { key, name, grants }
    }
}

/// Roles in columns, permissions in rows.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct RoleMatrix {
    /// The roles, in the order of their keys.
    pub roles: Vec<MatrixRole>,
    /// Every registered permission, sorted.
    pub permissions: Vec<PermissionKey>,
}

impl RoleMatrix {
    /// Puts a matrix together.
    pub fn new(roles: Vec<MatrixRole>, permissions: Vec<PermissionKey>) -> Self {
        Self { roles, permissions }
    }

    /// A table for a terminal: `x` by name, `+` by a wildcard or a parent, `.` not at all.
    pub fn to_text(&self) -> String {
        let longest = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or(0);
        let left = longest(&mut self.permissions.iter().map(|key| key.as_str().len()));
        let mut text = " ".repeat(left);
        for role in &self.roles {
            let _ = write!(text, "  {}", role.key);
        }
        text.push('\n');
        for permission in &self.permissions {
            let _ = write!(text, "{:left$}", permission.as_str());
            for role in &self.roles {
                let sign = match role.grants.get(permission) {
                    Some(true) => "x",
                    Some(false) => "+",
                    None => ".",
                };
                let _ = write!(text, "  {sign:<width$}", width = role.key.as_str().len());
            }
            text.truncate(text.trim_end_matches(' ').len());
            text.push('\n');
        }
        text.push_str("\nx by name, + by a wildcard or a parent, . not at all\n");
        text
    }

    /// A picture for a page or a document.
    pub fn to_svg(&self) -> String {
        Svg::of(self).drawn()
    }
}

/// Where things stand in the picture, in pixels.
struct Svg<'a> {
    matrix: &'a RoleMatrix,
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

impl<'a> Svg<'a> {
    const CELL: usize = 28;
    const ROW: usize = 22;
    /// The width of a letter of the monospaced type, at 12 px.
    const LETTER: usize = 8;
    const LEGEND: usize = 44;

    fn of(matrix: &'a RoleMatrix) -> Self {
        let longest = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or(0).max(8);
        let rows = longest(&mut matrix.permissions.iter().map(|key| key.as_str().len()));
        let heads = longest(&mut matrix.roles.iter().map(|role| role.key.as_str().len()));
        let left = 24 + rows * Self::LETTER;
        // Heads lean to the right: they need seven tenths of their length in both directions.
        let lean = heads * Self::LETTER * 7 / 10;
        let top = 24 + lean;
        let legend = left.max(360);
        Self {
            matrix,
            left,
            top,
            width: (left + matrix.roles.len() * Self::CELL + lean + 24).max(legend),
            height: top + matrix.permissions.len() * Self::ROW + Self::LEGEND,
        }
    }

    fn drawn(&self) -> String {
        let (width, height) = (self.width, self.height);
        let mut svg = format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" font-family="ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="12" fill="#1f2328">
<title>Roles and what they grant</title>
<rect width="{width}" height="{height}" fill="#ffffff"/>
"##
        );
        self.rows(&mut svg);
        self.heads(&mut svg);
        self.cells(&mut svg);
        self.legend(&mut svg);
        svg.push_str("</svg>\n");
        svg
    }

    fn rows(&self, svg: &mut String) {
        let right = self.left + self.matrix.roles.len() * Self::CELL;
        for (at, permission) in self.matrix.permissions.iter().enumerate() {
            let y = self.top + at * Self::ROW;
            if at % 2 == 0 {
                let (x, width, height) = (8, right - 8, Self::ROW);
                let _ = writeln!(
                    svg,
                    r##"<rect x="{x}" y="{y}" width="{width}" height="{height}" fill="#f3f5f7"/>"##
                );
            }
            let (x, base) = (self.left - 12, y + 15);
            let _ = writeln!(
                svg,
                r#"<text x="{x}" y="{base}" text-anchor="end">{permission}</text>"#
            );
        }
    }

    fn heads(&self, svg: &mut String) {
        for (at, role) in self.matrix.roles.iter().enumerate() {
            let (x, y) = (self.left + at * Self::CELL + Self::CELL / 2, self.top - 8);
            let (key, name) = (&role.key, escaped(&role.name));
            let _ = writeln!(
                svg,
                r#"<text x="{x}" y="{y}" transform="rotate(-45 {x} {y})">{key}<title>{name}</title></text>"#
            );
        }
    }

    fn cells(&self, svg: &mut String) {
        for (row, permission) in self.matrix.permissions.iter().enumerate() {
            for (column, role) in self.matrix.roles.iter().enumerate() {
                let x = self.left + column * Self::CELL + Self::CELL / 2;
                let y = self.top + row * Self::ROW + Self::ROW / 2;
                let drawn = match role.grants.get(permission) {
                    Some(by_name) => mark(x, y, *by_name),
                    None => continue,
                };
                let _ = writeln!(svg, "{drawn}");
            }
        }
    }

    fn legend(&self, svg: &mut String) {
        let y = self.height - 20;
        let base = y + 4;
        let _ = writeln!(
            svg,
            r#"{}<text x="34" y="{base}">by name</text>{}<text x="136" y="{base}">by a wildcard or a parent</text>"#,
            mark(20, y, true),
            mark(122, y, false)
        );
    }
}

/// A full dot or a ring: told apart without colours.
fn mark(x: usize, y: usize, by_name: bool) -> String {
    let fill = if by_name { "#0969da" } else { "none" };
    format!(
        r##"<circle cx="{x}" cy="{y}" r="5" fill="{fill}" stroke="#0969da" stroke-width="2"/>"##
    )
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            // Not allowed in XML in any form.
            '\u{fffe}' | '\u{ffff}' => safe.push('\u{fffd}'),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix() -> RoleMatrix {
        let key = |text: &str| PermissionKey::parse(text).unwrap();
        let role = |name: &str, text: &str, grants: &[(&str, bool)]| {
            let grants = grants.iter().map(|(text, by_name)| (key(text), *by_name));
            MatrixRole::new(RoleKey::parse(name).unwrap(), text, grants.collect())
        };
        let roles = vec![
            role(
                "editor",
                "<script>&\"",
                &[("docs.read", false), ("docs.write", true)],
            ),
            role("viewer", "Viewer", &[("docs.read", true)]),
        ];
        RoleMatrix::new(
            roles,
            vec![key("docs.purge"), key("docs.read"), key("docs.write")],
        )
    }

    #[test]
    fn the_table_has_a_sign_for_every_pair() {
        let text = "            editor  viewer
docs.purge  .       .
docs.read   +       x
docs.write  x       .

x by name, + by a wildcard or a parent, . not at all
";
        assert_eq!(matrix().to_text(), text);
        assert!(RoleMatrix::new(vec![], vec![]).to_text().starts_with('\n'));
    }

    #[test]
    fn the_picture_has_a_dot_for_every_grant_and_no_name_breaks_out_of_it() {
        let svg = matrix().to_svg();
        assert_eq!(
            svg.matches("<circle").count(),
            3 + 2,
            "three grants and the legend"
        );
        assert!(
            svg.contains("<title>&lt;script&gt;&amp;&quot;</title>") && !svg.contains("<script>")
        );
        assert!(
            RoleMatrix::new(vec![], vec![])
                .to_svg()
                .ends_with("</svg>\n")
        );
    }
}
