//! A star: every crate knows the core, and none knows its sibling.

use cargo_metadata::{DependencyKind, MetadataCommand};

use super::{Result, root};

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

/// A host of the facade can't turn on what the facade does not pass on, nor what it does not know of.
#[test]
fn the_facade_passes_every_feature_on_and_lists_its_own() -> Result {
    let metadata = MetadataCommand::new().no_deps().exec()?;
    let packages = metadata.workspace_packages();
    let facade = packages
        .iter()
        .find(|package| package.name.as_str() == "tenancy");
    let facade = &facade.ok_or("no facade")?.features;
    let passed_on: Vec<String> = facade
        .values()
        .flatten()
        .map(|to| to.replace('?', ""))
        .collect();
    for package in &packages {
        let name = package.name.as_str();
        if name != "tenancy-core" && !SIBLINGS.contains(&name) {
            continue;
        }
        let usual = package.features.get("default").cloned().unwrap_or_default();
        for feature in package.features.keys() {
            let own = ["default", "testing"].contains(&feature.as_str());
            assert!(
                own || usual.contains(feature) || passed_on.contains(&format!("{name}/{feature}")),
                "`{name}/{feature}` can't be turned on by a host of `tenancy`"
            );
        }
    }
    let readme = std::fs::read_to_string(root().join("tenancy/README.md"))?;
    for feature in facade.keys() {
        let part = SIBLINGS.contains(&format!("tenancy-{feature}").as_str());
        let row = format!("\n| `{feature}` | ");
        assert!(
            part || feature == "default" || readme.contains(&row),
            "tenancy/README.md lacks the feature `{feature}`"
        );
    }
    Ok(())
}
