//! Identifiers: one type for each thing that has one, so that they can't be mixed up.

/// Defines a uuid newtype with the conversions every identifier of the family has.
///
/// The type is `Copy`, ordered, (de)serialised as the bare uuid and bound to Postgres' `uuid`.
/// `new()` mints a version 7 uuid (RFC 9562), which sorts by the time it was made.
///
/// ```
/// tenancy_core::uuid_id! {
///     /// Identifies an invoice.
///     pub struct InvoiceId;
/// }
///
/// let id = InvoiceId::new();
/// assert_eq!(id, id.to_string().parse().unwrap());
/// ```
#[macro_export]
macro_rules! uuid_id {
    ($(#[$meta:meta])* pub struct $name:ident;) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd,
            $crate::__private::serde::Deserialize,
            $crate::__private::serde::Serialize,
            $crate::__private::sqlx::Type,
        )]
        #[serde(crate = "tenancy_core::__private::serde", transparent)]
        #[sqlx(transparent)]
        pub struct $name($crate::__private::Uuid);

        impl $name {
            /// Mints a new identifier that sorts after those minted before it.
            #[expect(clippy::new_without_default, reason = "two defaults would differ")]
            pub fn new() -> Self {
                Self($crate::__private::Uuid::now_v7())
            }

            /// Takes over an identifier that exists already.
            pub const fn from_uuid(id: $crate::__private::Uuid) -> Self {
                Self(id)
            }

            /// The bare uuid.
            pub const fn as_uuid(self) -> $crate::__private::Uuid {
                self.0
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::InvalidInput;

            fn from_str(text: &str) -> ::std::result::Result<Self, Self::Err> {
                text.parse().map(Self).map_err(|_| $crate::InvalidInput::not_a_uuid(text))
            }
        }
    };
}

uuid_id! {
    /// Identifies a tenant. Any uuid a host already has will do.
    pub struct TenantId;
}
uuid_id! {
    /// Identifies a person across all tenants. Any uuid a host already has will do.
    pub struct UserId;
}
uuid_id! {
    /// Identifies an API key of a tenant.
    pub struct ApiKeyId;
}
uuid_id! {
    /// Identifies an invitation.
    pub struct InvitationId;
}
uuid_id! {
    /// Identifies a session in which support acts for a member.
    pub struct ImpersonationId;
}
uuid_id! {
    /// Identifies an offer of ownership.
    pub struct OwnershipOfferId;
}
uuid_id! {
    /// Identifies one request or one run of a job, through logs, audit entries and settings.
    pub struct RequestId;
}
uuid_id! {
    /// Identifies a stored credential, whatever keeps it: a static secret or an OAuth connection.
    pub struct CredentialId;
}
uuid_id! {
    /// Identifies a job.
    pub struct JobId;
}
