//! A star: every crate knows the core, and none knows its sibling.

use cargo_metadata::{DependencyKind, MetadataCommand};

use super::Result;

const SIBLINGS: [&str; 6] = [
    "tenancy-audit",
    "tenancy-authz",
    "tenancy-jobs",
    "tenancy-mcp",
    "tenancy-rag",
    "tenancy-secrets",
];
const FOR_TESTS: [&str; 2] = ["tenancy-devdb", "tenancy-testkit"];

#[test]
fn no_crate_depends_on_a_sibling() -> Result {
    let metadata = MetadataCommand::new().no_deps().exec()?;
    for package in metadata.workspace_packages() {
        let name = package.name.as_str();
        let is_core = name == "tenancy-core";
        if !is_core && !SIBLINGS.contains(&name) {
            continue;
        }
        for dependency in &package.dependencies {
            let other = dependency.name.as_str();
            let family = other.starts_with("tenancy-") && other != name;
            let to_core = !is_core && other == "tenancy-core";
            let for_tests =
                dependency.kind == DependencyKind::Development && FOR_TESTS.contains(&other);
            assert!(
                !family || to_core || for_tests,
                "`{name}` depends on `{other}`"
            );
        }
    }
    Ok(())
}

#[test]
fn the_development_database_is_no_part_of_what_a_host_ships() -> Result {
    let metadata = MetadataCommand::new().no_deps().exec()?;
    let runtime =
        |name: &str| name == "tenancy" || name == "tenancy-core" || SIBLINGS.contains(&name);
    for package in metadata
        .workspace_packages()
        .iter()
        .filter(|p| runtime(p.name.as_str()))
    {
        for dependency in &package.dependencies {
            let dev = dependency.kind == DependencyKind::Development;
            let test_only = FOR_TESTS.contains(&dependency.name.as_str());
            assert!(
                dev || !test_only,
                "`{}` ships `{}`",
                package.name,
                dependency.name
            );
        }
    }
    Ok(())
}

#[test]
fn every_package_says_what_publishing_needs() -> Result {
    let metadata = MetadataCommand::new().no_deps().exec()?;
    for package in metadata.workspace_packages() {
        assert_eq!(
            package.license.as_deref(),
            Some("MIT OR Apache-2.0"),
            "{}",
            package.name
        );
        assert!(
            package.description.is_some(),
            "{} has no description",
            package.name
        );
        assert!(
            package.rust_version.is_some(),
            "{} has no rust-version",
            package.name
        );
    }
    Ok(())
}
