//! A cipher that hides texts in memory.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;

use super::fakes::locked;
use crate::{
    Error, ErrorKind, JobId, SealedText, SecretText, Subject, SubjectCipher, TenantCtx, TenantId,
};

/// A [`SubjectCipher`] whose sealed texts are numbers of a list: nothing is encrypted.
///
/// It asks for no permission and knows of no legal holds: it erases whatever it is told to.
#[derive(Clone, Debug, Default)]
pub struct FakeSubjectCipher(Arc<Mutex<State>>);

type Whose = (TenantId, Subject);

#[derive(Debug, Default)]
struct State {
    texts: HashMap<String, (Whose, String)>,
    erased: HashSet<Whose>,
}

impl State {
    fn check(&self, whose: &Whose) -> Result<(), Error> {
        if !self.erased.contains(whose) {
            return Ok(());
        }
        let message = "the subject's data was erased";
        Err(Error::new(ErrorKind::Conflict, "subject_erased", message))
    }
}

impl FakeSubjectCipher {
    /// Has sealed nothing.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl SubjectCipher for FakeSubjectCipher {
    async fn seal(
        &self,
        ctx: &TenantCtx,
        subject: &Subject,
        text: SecretText,
    ) -> Result<SealedText, Error> {
        if text.expose().len() > 65_536 {
            let message = "a sealed text is at most 65536 bytes";
            return Err(Error::new(ErrorKind::Limit, "secret_too_long", message));
        }
        let (mut state, whose) = (locked(&self.0), (ctx.tenant(), subject.clone()));
        state.check(&whose)?;
        let sealed = JobId::new().to_string();
        let text = text.expose().to_owned();
        state.texts.insert(sealed.clone(), (whose, text));
        Ok(SealedText::from_stored(sealed))
    }

    async fn open(
        &self,
        ctx: &TenantCtx,
        subject: &Subject,
        sealed: &SealedText,
    ) -> Result<SecretText, Error> {
        let (state, whose) = (locked(&self.0), (ctx.tenant(), subject.clone()));
        state.check(&whose)?;
        match state.texts.get(sealed.as_str()) {
            Some((owner, text)) if *owner == whose => Ok(SecretText::new(text.as_str())),
            _ => {
                let message = "the sealed text is damaged, or belongs to somebody else";
                Err(Error::new(
                    ErrorKind::Internal,
                    "sealed_text_unreadable",
                    message,
                ))
            }
        }
    }

    async fn erase_subject(&self, ctx: &TenantCtx, subject: &Subject) -> Result<(), Error> {
        let (mut state, whose) = (locked(&self.0), (ctx.tenant(), subject.clone()));
        state.texts.retain(|_, (owner, _)| *owner != whose);
        state.erased.insert(whose);
        Ok(())
    }
}
