//! What the source files look like.

use std::path::Path;

use super::{CRATES, Result, files, root};

/// The files that may put SQL together, each reviewed for what it lets in.
const MAKES_SQL: [&str; 7] = [
    "tenancy/src/citus/read.rs",
    "tenancy/src/citus/run.rs",
    "tenancy-audit/src/postgres/single.rs",
    "tenancy-core/src/postgres/context_sql.rs",
    "tenancy-core/src/postgres/tenant_rows/sql.rs",
    "tenancy-devdb/src/postgres/ddl.rs",
    "tenancy-rag/src/postgres/index_ddl.rs",
];

/// What the doctor proposes as a fix is text for people, beside the rule it belongs to.
const PROPOSES_SQL: &str = "tenancy-core/src/doctor/rules/";

fn sources() -> Result<Vec<(String, String)>> {
    let mut sources = Vec::new();
    for name in CRATES {
        for path in files(&root().join(name).join("src"), ".rs")? {
            let shown = path.strip_prefix(root())?.to_string_lossy().into_owned();
            sources.push((shown, std::fs::read_to_string(&path)?));
        }
    }
    Ok(sources)
}

/// The source before its unit tests. Where they stand in a file of their own, all of it.
fn without_tests(source: &str) -> &str {
    let (mut at, mut begin) = (0, None);
    for line in source.split_inclusive('\n') {
        if line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(all(test,") {
            begin = begin.or(Some(at));
        } else if !line.starts_with("#[") {
            let is_here = line.starts_with("mod ") && line.trim_end().ends_with('{');
            if let Some(begin) = begin.take()
                && is_here
            {
                return source.get(..begin).unwrap_or(source);
            }
        }
        at += line.len();
    }
    source
}

#[test]
fn what_stands_behind_a_module_of_tests_elsewhere_is_seen() {
    let elsewhere = "#[cfg(test)]\nmod tests;\n\nstruct Seen;\n";
    assert_eq!(without_tests(elsewhere), elsewhere);
    let here = "struct Seen;\n\n#[cfg(all(test, unix))]\n#[expect(x)]\nmod tests {\n}\n";
    assert_eq!(without_tests(here), "struct Seen;\n\n");
}

/// Tests that are longer than a file should be.
const LONG: [&str; 7] = [
    "tenancy-core/tests/api_keys.rs",
    "tenancy-core/tests/doctor.rs",
    "tenancy-core/tests/invitations.rs",
    "tenancy-core/tests/outbox.rs",
    "tenancy-core/tests/rls_kit.rs",
    "tenancy-rag/tests/it/access.rs",
    "tenancy/tests/tenants_cli.rs",
];

#[test]
fn no_file_tells_more_than_one_story() -> Result {
    for (path, source) in sources()? {
        let lines = without_tests(&source).lines().count();
        assert!(lines <= 500, "{path} has {lines} lines; 500 is the limit");
    }
    for name in CRATES {
        for path in files(&root().join(name).join("tests"), ".rs")? {
            let shown = path.strip_prefix(root())?.to_string_lossy().into_owned();
            let lines = std::fs::read_to_string(&path)?.lines().count();
            assert!(
                lines <= 500 || LONG.contains(&shown.as_str()),
                "{shown} has {lines} lines; 500 is the limit"
            );
        }
    }
    Ok(())
}

#[test]
fn a_crate_root_holds_no_logic() -> Result {
    for name in CRATES {
        let path = root().join(name).join("src/lib.rs");
        let lines = std::fs::read_to_string(&path)?.lines().count();
        assert!(
            lines <= 80,
            "{name}/src/lib.rs has {lines} lines; 80 is the limit"
        );
    }
    Ok(())
}

#[test]
fn sql_of_more_than_a_line_stands_in_a_file_of_its_own() -> Result {
    const STARTS: [&str; 7] = [
        "SELECT ",
        "INSERT INTO ",
        "UPDATE ",
        "DELETE FROM ",
        "WITH ",
        "CREATE ",
        "ALTER ",
    ];
    for (path, source) in sources()?
        .into_iter()
        .filter(|(path, _)| !path.starts_with(PROPOSES_SQL) && !MAKES_SQL.contains(&path.as_str()))
    {
        for literal in literals(without_tests(&source)) {
            let statement = STARTS.iter().any(|start| literal.starts_with(start));
            let long = literal.contains('\n') || literal.len() > 110;
            assert!(
                !(statement && long),
                "{path}: move this to a .sql file: {literal}"
            );
        }
    }
    Ok(())
}

/// The string literals of a source file, roughly: good enough to find statements.
fn literals(source: &str) -> Vec<String> {
    let code = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let code = code
        .collect::<Vec<_>>()
        .join("\n")
        .replace("\\\"", "'")
        .replace("'\"'", "");
    code.split('"')
        .skip(1)
        .step_by(2)
        .map(ToOwned::to_owned)
        .collect()
}

#[test]
fn sql_is_put_together_in_reviewed_files_only() -> Result {
    for (path, source) in sources()? {
        let reviewed = MAKES_SQL
            .iter()
            .any(|file| Path::new(&path).ends_with(file));
        assert!(
            reviewed || !without_tests(&source).contains("AssertSqlSafe("),
            "{path} makes SQL"
        );
    }
    Ok(())
}

#[test]
fn nothing_is_left_unfinished() -> Result {
    for (path, source) in sources()? {
        for word in ["todo!(", "unimplemented!(", "#[ignore", "dbg!("] {
            assert!(!source.contains(word), "{path} contains {word}");
        }
    }
    Ok(())
}

#[test]
fn every_statement_says_which_role_runs_it() -> Result {
    for name in CRATES.into_iter().filter(|name| *name != "tenancy-devdb") {
        for path in files(&root().join(name).join("src"), ".sql")? {
            let text = std::fs::read_to_string(&path)?;
            let first = text.lines().next().unwrap_or_default();
            let known = ["app", "worker", "operator"].iter().any(|role| {
                first
                    .strip_prefix("-- role: ")
                    .is_some_and(|named| named.starts_with(role))
            });
            assert!(
                known,
                "{}: the first line is `-- role: app|worker|operator`",
                path.display()
            );
        }
    }
    Ok(())
}

/// What the reader is shown compiles: `examples/together` makes tests of all of it.
#[test]
fn no_example_is_left_out_of_the_tests() -> Result {
    let mut read = vec![root().join("README.md"), root().join("CONTRIBUTING.md")];
    read.extend(files(&root().join("docs"), ".md")?);
    for name in CRATES {
        read.push(root().join(name).join("README.md"));
        read.extend(files(&root().join(name).join("src"), ".rs")?);
    }
    let mut examples = 0;
    for path in read {
        for line in std::fs::read_to_string(&path)?.lines() {
            let line = line.trim_start_matches([' ', '/', '!']);
            let Some(words) = line.strip_prefix("```") else {
                continue;
            };
            examples += usize::from(words.starts_with("rust"));
            assert!(!words.contains("ignore"), "{}: {line}", path.display());
        }
    }
    assert!(examples > 40, "{examples} examples");
    Ok(())
}

#[test]
fn each_decision_has_a_number_of_its_own() -> Result {
    let mut before = String::new();
    for path in files(&root().join("docs/adr"), ".md")? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let number = name.split('-').next().unwrap_or_default().to_owned();
        assert!(number != before, "{name} has the number of another one");
        before = number;
    }
    assert!(!before.is_empty());
    Ok(())
}
