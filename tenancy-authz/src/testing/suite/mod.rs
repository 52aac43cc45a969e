//! A suite of policies and expected answers as data, for any implementation of these roles.
//!
//! The files stand in the crate's folder `conformance`, with their format in its README. [`FILES`]
//! has them; [`made_up`] makes up policies of any size. An implementation answers [`Question`]s about
//! [`Policies`] ([`Subject`]), and [`run`] compares with what is expected, [`agree`] with the naive
//! reference ([`Policies::allows`]).

mod made_up;
mod policies;

use std::fmt;

use async_trait::async_trait;
use serde::Deserialize;

pub use made_up::made_up;
pub use policies::{End, MemberOf, Policies, Question, RoleOf, Standing, TenantOf, TenantState};

/// Files of the suite: their names and what is in them.
pub const FILES: &[(&str, &str)] = &[
    ("ends", include_str!("../../../conformance/ends.yaml")),
    ("keys", include_str!("../../../conformance/keys.yaml")),
    ("parents", include_str!("../../../conformance/parents.yaml")),
    ("roles", include_str!("../../../conformance/roles.yaml")),
    ("tenants", include_str!("../../../conformance/tenants.yaml")),
    (
        "wildcards",
        include_str!("../../../conformance/wildcards.yaml"),
    ),
];

/// Policies, and who holds what in them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Suite {
    /// A short name.
    pub name: String,
    /// What is tried.
    pub about: String,
    /// What is in force.
    pub policies: Policies,
    /// What follows from it.
    pub check: Vec<Expected>,
}

/// What a user holds in a tenant and what not.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Expected {
    /// Where.
    pub tenant: String,
    /// Who.
    pub user: String,
    /// What he holds.
    #[serde(default)]
    pub holds: Vec<String>,
    /// What he does not hold.
    #[serde(default)]
    pub lacks: Vec<String>,
}

impl Suite {
    /// What is asked, with the answers that are expected.
    pub fn questions(&self) -> Vec<(Question, bool)> {
        let ask = |expected: &Expected, permission: &String| Question {
            tenant: expected.tenant.clone(),
            user: expected.user.clone(),
            permission: permission.clone(),
        };
        let of_one = |expected: &Expected| {
            let held = expected.holds.iter().map(|key| (ask(expected, key), true));
            let lacking = expected.lacks.iter().map(|key| (ask(expected, key), false));
            held.chain(lacking).collect::<Vec<_>>()
        };
        self.check.iter().flat_map(of_one).collect()
    }
}

/// An implementation: it puts policies in force, and answers.
#[async_trait]
pub trait Subject: Send {
    /// One answer for each question, in their order. Policies of different calls are in force beside
    /// each other.
    ///
    /// # Errors
    /// Whatever keeps it from answering, as a text.
    async fn answers(
        &mut self,
        policies: &Policies,
        questions: &[Question],
    ) -> Result<Vec<bool>, String>;
}

/// The naive reference as an implementation.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Reference;

#[async_trait]
impl Subject for Reference {
    async fn answers(
        &mut self,
        policies: &Policies,
        questions: &[Question],
    ) -> Result<Vec<bool>, String> {
        Ok(questions
            .iter()
            .map(|asked| policies.allows(asked))
            .collect())
    }
}

/// Runs a suite; how many questions were answered as expected.
///
/// # Errors
/// The answers that differ.
pub async fn run(suite: &Suite, subject: &mut dyn Subject) -> Result<usize, Differences> {
    let (questions, expected): (Vec<_>, Vec<_>) = suite.questions().into_iter().unzip();
    compare(&suite.policies, &questions, &expected, subject).await
}

/// Compares with the naive reference; how many questions were answered alike.
///
/// # Errors
/// The answers that differ.
pub async fn agree(
    policies: &Policies,
    questions: &[Question],
    subject: &mut dyn Subject,
) -> Result<usize, Differences> {
    let expected: Vec<_> = questions
        .iter()
        .map(|asked| policies.allows(asked))
        .collect();
    compare(policies, questions, &expected, subject).await
}

async fn compare(
    policies: &Policies,
    questions: &[Question],
    expected: &[bool],
    subject: &mut dyn Subject,
) -> Result<usize, Differences> {
    let answers = subject.answers(policies, questions).await;
    let answers = answers.map_err(|failed| Differences(vec![failed]))?;
    if answers.len() != questions.len() {
        let counted = format!("{} answers to {} questions", answers.len(), questions.len());
        return Err(Differences(vec![counted]));
    }
    let different = questions.iter().zip(expected).zip(&answers);
    let different: Vec<_> = different
        .filter(|((_, expected), answer)| expected != answer)
        .map(|((asked, _), answer)| format!("{asked}: {answer}"))
        .collect();
    if different.is_empty() {
        return Ok(questions.len());
    }
    Err(Differences(different))
}

/// Answers that are not as expected.
#[derive(Clone, Debug)]
pub struct Differences(Vec<String>);

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 10;
        let shown: Vec<_> = self.0.iter().take(SHOWN).map(String::as_str).collect();
        write!(f, "{} differ: {}", self.0.len(), shown.join("; "))
    }
}

impl std::error::Error for Differences {}
