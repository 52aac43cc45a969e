//! Policies that a number makes up.

use super::{End, MemberOf, Policies, Question, RoleOf, Standing, TenantOf, TenantState};

const AREAS: u64 = 8;
const ROLES: u64 = 8;
/// Among them every registered permission, and some that nobody registered.
const ASKED_KEYS: usize = 100;

/// Policies of so many tenants with so many users each, and a question for each user and each of a
/// hundred permissions. The same seed makes up the same.
///
/// Roles grant by name, by wildcards and through parents that stand above each other without a
/// circle; some tenants are closed, some members kept out or gone, some roles over.
pub fn made_up(seed: u64, tenants: usize, users: usize) -> (Policies, Vec<Question>) {
    let mut dice = Dice(seed);
    let keys: Vec<_> = (0..ASKED_KEYS as u64).map(key).collect();
    let mut policies = Policies::default();
    // One in ten is asked for and never registered.
    let registered = keys.iter().enumerate().filter(|(at, _)| at % 10 != 9);
    policies.permissions = registered.map(|(_, key)| key.clone()).collect();
    let known: Vec<_> = policies.permissions.iter().cloned().collect();
    let mut questions = Vec::with_capacity(tenants * users * keys.len());
    for tenant in 0..tenants {
        let name = format!("t{tenant}");
        policies
            .tenants
            .insert(name.clone(), dice.tenant(&known, users));
        for user in 0..users {
            let ask = |key: &String| Question::new(name.clone(), format!("u{user}"), key.clone());
            questions.extend(keys.iter().map(ask));
        }
    }
    (policies, questions)
}

/// Some are longer words or deeper than others: `area1.k3`, `area1.sub.k4`, `area1_x.k5`.
fn key(at: u64) -> String {
    let area = at % AREAS;
    match at % 3 {
        0 => format!("area{area}.k{at}"),
        1 => format!("area{area}.sub.k{at}"),
        _ => format!("area{area}_x.k{at}"),
    }
}

/// The generator splitmix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    fn one_of<T: Clone>(&mut self, some: &[T]) -> Option<T> {
        let at = self.roll(some.len().max(1) as u64);
        some.get(usize::try_from(at).unwrap_or(0)).cloned()
    }

    fn tenant(&mut self, known: &[String], users: usize) -> TenantOf {
        let mut tenant = TenantOf {
            state: match self.roll(10) {
                0 => TenantState::Closed,
                1 => TenantState::Readable,
                _ => TenantState::Open,
            },
            ..TenantOf::default()
        };
        for role in 0..ROLES {
            tenant
                .roles
                .insert(format!("r{role}"), self.role(role, known));
        }
        for user in 0..users {
            // One in ten is nobody to this tenant.
            if self.roll(10) > 0 {
                tenant.members.insert(format!("u{user}"), self.member());
            }
        }
        tenant
    }

    fn role(&mut self, at: u64, known: &[String]) -> RoleOf {
        let mut role = RoleOf::default();
        for _ in 0..self.roll(50) {
            role.grants.extend(self.one_of(known));
        }
        if self.roll(4) == 0 {
            let area = self.roll(AREAS);
            let below = self.one_of(&["", ".sub", "_x"]).unwrap_or_default();
            role.wildcards.insert(format!("area{area}{below}.*"));
        }
        // Only roles with a smaller number stand above one: no circle.
        for _ in 0..self.roll(3) {
            if at > 0 {
                role.parents.insert(format!("r{}", self.roll(at)));
            }
        }
        role
    }

    fn member(&mut self) -> MemberOf {
        let mut member = MemberOf {
            state: match self.roll(10) {
                0 => Standing::KeptOut,
                1 => Standing::Gone,
                _ => Standing::Active,
            },
            ..MemberOf::default()
        };
        // Who is gone has left every role behind.
        let roles = if member.state == Standing::Gone {
            0
        } else {
            self.roll(4)
        };
        for _ in 0..roles {
            let end = match self.roll(5) {
                0 => End::Ended,
                1 => End::Later,
                _ => End::Forever,
            };
            member.roles.insert(format!("r{}", self.roll(ROLES)), end);
        }
        member
    }
}
