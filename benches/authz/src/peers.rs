//! The same questions to casbin and Cedar.

use std::{collections::HashSet, hint::black_box, time::Instant};

use casbin::{CachedEnforcer, CoreApi as _, DefaultModel, MemoryAdapter, MgmtApi as _};
use cedar_policy::{Authorizer, Context, Entities, Entity, EntityUid, PolicySet, Request};

use crate::{
    Result,
    setting::{Check, ROLES, Setting, grants, key},
};

const MODEL: &str = "
[request_definition]
r = sub, dom, act
[policy_definition]
p = sub, dom, act
[role_definition]
g = _, _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = g(r.sub, p.sub, r.dom) && r.dom == p.dom && r.act == p.act
";
/// How many different questions casbin is asked: well within its cache.
const WARM: usize = 40;

/// Casbin's cached enforcer with one tenant loaded, warm: the best it does.
pub(crate) struct Casbin {
    enforcer: CachedEnforcer,
    questions: Vec<(String, String, String, bool)>,
}

impl Casbin {
    pub(crate) async fn new(setting: &Setting) -> Result<Self> {
        let model = DefaultModel::from_str(MODEL).await?;
        let mut enforcer = CachedEnforcer::new(model, MemoryAdapter::default()).await?;
        let tenant = setting.seats[0].tenant;
        let dom = format!("t{tenant}");
        for role in 0..ROLES {
            let rules = (0..grants(role)).map(|it| vec![format!("r{role}"), dom.clone(), key(it)]);
            enforcer.add_policies(rules.collect()).await?;
        }
        let here = setting.seats.iter().filter(|seat| seat.tenant == tenant);
        let assigned = here.flat_map(|seat| {
            seat.roles
                .map(|role| vec![format!("u{}", seat.user), format!("r{role}"), dom.clone()])
        });
        enforcer.add_grouping_policies(assigned.collect()).await?;
        let checks = setting.seats.iter().filter(|seat| seat.tenant == tenant);
        let questions: Vec<_> = checks
            .enumerate()
            .flat_map(|(at, seat)| {
                let held = seat.roles.map(grants).into_iter().max().unwrap_or(0);
                let asked = [(at * 13) % 100, (at * 29 + 50) % 100];
                let dom = dom.clone();
                asked.map(|it| (format!("u{}", seat.user), dom.clone(), key(it), it < held))
            })
            .take(WARM)
            .collect();
        let casbin = Self {
            enforcer,
            questions,
        };
        for (sub, dom, act, expected) in &casbin.questions {
            let said = casbin
                .enforcer
                .enforce((sub.as_str(), dom.as_str(), act.as_str()))?;
            if said != *expected {
                return Err("casbin disagrees".into());
            }
        }
        Ok(casbin)
    }

    /// Nanoseconds for one check, over so many.
    pub(crate) fn nanos(&self, checks: usize) -> Result<f64> {
        let begun = Instant::now();
        for (sub, dom, act, _) in self.questions.iter().cycle().take(checks) {
            black_box(
                self.enforcer
                    .enforce((sub.as_str(), dom.as_str(), act.as_str()))?,
            );
        }
        Ok(begun.elapsed().as_secs_f64() * 1e9 / checks as f64)
    }
}

/// Cedar with one policy and permissions as nodes of the hierarchy, all tenants loaded; requests are
/// made beforehand.
pub(crate) struct Cedar {
    authorizer: Authorizer,
    policies: PolicySet,
    entities: Entities,
    requests: Vec<(Request, bool)>,
}

fn uid(kind: &str, id: &str) -> Result<EntityUid> {
    Ok(format!("{kind}::\"{id}\"").parse::<EntityUid>()?)
}

impl Cedar {
    pub(crate) fn new(setting: &Setting) -> Result<Self> {
        let policies: PolicySet =
            "permit(principal, action, resource) when { principal in resource };".parse()?;
        let node = |kind: &str, id: String, parents: HashSet<EntityUid>| -> Result<Entity> {
            Ok(Entity::new_no_attrs(uid(kind, &id)?, parents))
        };
        let mut all = Vec::new();
        for tenant in 0..setting.tenants.len() {
            for permission in 0..100 {
                all.push(node(
                    "Perm",
                    format!("{tenant}/{}", key(permission)),
                    HashSet::new(),
                )?);
            }
            for role in 0..ROLES {
                let parents =
                    (0..grants(role)).map(|it| uid("Perm", &format!("{tenant}/{}", key(it))));
                all.push(node(
                    "Role",
                    format!("{tenant}/{role}"),
                    parents.collect::<Result<_>>()?,
                )?);
            }
        }
        for seat in &setting.seats {
            let parents = seat
                .roles
                .iter()
                .map(|role| uid("Role", &format!("{}/{role}", seat.tenant)));
            let id = format!("{}/{}", seat.tenant, seat.user);
            all.push(node("User", id, parents.collect::<Result<_>>()?)?);
        }
        let entities = Entities::from_entities(all, None)?;
        let request = |check: &Check| -> Result<(Request, bool)> {
            let seat = setting.seats[check.seat];
            let principal = uid("User", &format!("{}/{}", seat.tenant, seat.user))?;
            let resource = uid(
                "Perm",
                &format!("{}/{}", seat.tenant, key(check.permission)),
            )?;
            let request = Request::new(
                principal,
                uid("Action", "check")?,
                resource,
                Context::empty(),
                None,
            )?;
            Ok((request, check.allowed))
        };
        let requests = setting.checks.iter().map(request).collect::<Result<_>>()?;
        let cedar = Self {
            authorizer: Authorizer::new(),
            policies,
            entities,
            requests,
        };
        for (request, expected) in &cedar.requests {
            if cedar.allows(request) != *expected {
                return Err("Cedar disagrees".into());
            }
        }
        Ok(cedar)
    }

    fn allows(&self, request: &Request) -> bool {
        let answer = self
            .authorizer
            .is_authorized(request, &self.policies, &self.entities);
        answer.decision() == cedar_policy::Decision::Allow
    }

    /// Nanoseconds for one check, over so many.
    pub(crate) fn nanos(&self, checks: usize) -> f64 {
        let begun = Instant::now();
        for (request, _) in self.requests.iter().cycle().take(checks) {
            black_box(self.allows(request));
        }
        begun.elapsed().as_secs_f64() * 1e9 / checks as f64
    }
}
