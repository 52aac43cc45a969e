//! The setting: 100 tenants with 10 roles and 100 permissions, 1,000 users in two tenants each.

use tenancy_authz::{AuthzOptions, COMPONENT, PgAuthorizer, sync_permissions};
use tenancy_core::{
    Principal, TenantCtx, TenantId, UserId,
    migrate::CORE,
    testing::{MemoryAudit, imagined},
};
use tenancy_testkit::Db;

use crate::{Result, keys};

pub(crate) const TENANTS: usize = 100;
pub(crate) const ROLES: usize = 10;
pub(crate) const USERS: usize = 1_000;
/// How many random checks are made up.
pub(crate) const CHECKS: usize = 4_096;

/// A user's seat in a tenant, and his two roles there.
#[derive(Clone, Copy)]
pub(crate) struct Seat {
    pub(crate) tenant: usize,
    pub(crate) user: usize,
    pub(crate) roles: [usize; 2],
}

#[derive(Clone, Copy)]
pub(crate) struct Check {
    pub(crate) seat: usize,
    pub(crate) permission: usize,
    pub(crate) allowed: bool,
}

pub(crate) struct Setting {
    pub(crate) seats: Vec<Seat>,
    pub(crate) checks: Vec<Check>,
    pub(crate) tenants: Vec<TenantId>,
    pub(crate) users: Vec<UserId>,
}

/// The role grants the first ten, twenty, … of the hundred.
pub(crate) fn grants(role: usize) -> usize {
    10 * (role + 1)
}

pub(crate) fn key(permission: usize) -> String {
    format!("area{}.k{}", permission / 10, permission % 10)
}

impl Setting {
    pub(crate) fn new() -> Self {
        let mut dice = 7_u64;
        let mut roll = |sides: usize| {
            dice = dice
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) as usize % sides
        };
        let mut seats = Vec::new();
        for user in 0..USERS {
            let first = roll(TENANTS);
            let second = (first + 1 + roll(TENANTS - 1)) % TENANTS;
            for tenant in [first, second] {
                let one = roll(ROLES);
                let roles = [one, (one + 1 + roll(ROLES - 1)) % ROLES];
                seats.push(Seat {
                    tenant,
                    user,
                    roles,
                });
            }
        }
        let checks = (0..CHECKS)
            .map(|_| {
                let (seat, permission) = (roll(seats.len()), roll(100));
                let held = seats[seat].roles.map(grants).into_iter().max().unwrap_or(0);
                let allowed = permission < held;
                Check {
                    seat,
                    permission,
                    allowed,
                }
            })
            .collect();
        Self {
            seats,
            checks,
            tenants: (0..TENANTS).map(|_| TenantId::new()).collect(),
            users: (0..USERS).map(|_| UserId::new()).collect(),
        }
    }

    pub(crate) fn ctx(&self, seat: usize) -> TenantCtx {
        let seat = self.seats[seat];
        imagined(
            self.tenants[seat.tenant],
            Principal::user(self.users[seat.user]),
        )
    }

    /// A database with all of it.
    pub(crate) async fn database(&self) -> Result<Db> {
        let db = Db::new(&[&CORE, &COMPONENT]).await?;
        let all = [CORE.permissions, COMPONENT.permissions, keys::ALL].concat();
        sync_permissions(&db.operator, &all).await?;
        let superuser = db.superuser().await?;
        let uuids = |ids: &[TenantId]| ids.iter().map(|id| id.as_uuid()).collect::<Vec<_>>();
        let tenants = uuids(&self.tenants);
        for sql in [
            "INSERT INTO tenancy.tenants (id, name) SELECT t, 'bench' FROM unnest($1::uuid[]) t",
            "INSERT INTO tenancy.tenant_epoch (tenant_id) SELECT t FROM unnest($1::uuid[]) t",
            "INSERT INTO tenancy.roles (tenant_id, key, name)
             SELECT t, 'r' || r, 'role' FROM unnest($1::uuid[]) t, generate_series(0, 9) r",
            "INSERT INTO tenancy.role_permissions (tenant_id, role_key, permission_key)
             SELECT t, 'r' || r, 'area' || p / 10 || '.k' || p % 10
             FROM unnest($1::uuid[]) t, generate_series(0, 9) r, generate_series(0, 10 * r + 9) p",
        ] {
            sqlx::query(sql).bind(&tenants).execute(&superuser).await?;
        }
        let seat_tenants: Vec<_> = self
            .seats
            .iter()
            .map(|it| self.tenants[it.tenant].as_uuid())
            .collect();
        let seat_users: Vec<_> = self
            .seats
            .iter()
            .map(|it| self.users[it.user].as_uuid())
            .collect();
        let seat_roles: Vec<_> = self
            .seats
            .iter()
            .map(|it| format!("r{} r{}", it.roles[0], it.roles[1]))
            .collect();
        for sql in [
            "INSERT INTO tenancy.memberships (tenant_id, user_id)
             SELECT t, u FROM unnest($1::uuid[], $2::uuid[], $3::text[]) s(t, u, r)",
            "INSERT INTO tenancy.member_roles (tenant_id, user_id, role_key)
             SELECT t, u, k FROM unnest($1::uuid[], $2::uuid[], $3::text[]) s(t, u, r), string_to_table(r, ' ') k",
        ] {
            let query = sqlx::query(sql).bind(&seat_tenants).bind(&seat_users);
            query.bind(&seat_roles).execute(&superuser).await?;
        }
        sqlx::raw_sql("ANALYZE").execute(&superuser).await?;
        Ok(db)
    }
}

pub(crate) fn authorizer(db: &Db, options: AuthzOptions) -> PgAuthorizer {
    let audit = std::sync::Arc::new(MemoryAudit::new());
    PgAuthorizer::with_options(db.app.clone(), audit, options)
}
