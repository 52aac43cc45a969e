//! The logins of a development server.

/// Who connects.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Login {
    /// Makes databases and roles, and is no superuser: as on a managed Postgres.
    Operator,
    /// What a host application connects as.
    App,
    /// What background work connects as.
    Worker,
    /// Only for faults that a test plants.
    Superuser,
}

impl Login {
    pub(crate) const fn role(self) -> &'static str {
        match self {
            Self::Operator => "tenancy_dev_operator",
            Self::App => "tenancy_dev_app",
            Self::Worker => "tenancy_dev_worker",
            Self::Superuser => "postgres",
        }
    }

    /// The role, made by the first migration, that this login has to be a member of.
    pub(crate) const fn group(self) -> Option<&'static str> {
        match self {
            Self::App => Some("tenancy_app"),
            Self::Worker => Some("tenancy_worker"),
            Self::Operator | Self::Superuser => None,
        }
    }
}
