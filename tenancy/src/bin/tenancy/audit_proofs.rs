//! Proving and verifying the audit log.

use std::{
    fs::File,
    io::{BufRead, BufReader, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use clap::Args;
use tenancy::{
    audit::{
        Adopter, AuditEntryId, Ed25519Signer, OperatorProofs, ProofReport, SealKey, SealKeys,
        Verifier,
    },
    core::TenantId,
};

use crate::{
    Operator,
    command::{Result, connect},
    output::printable,
};

#[derive(Args, Debug)]
pub(crate) struct Prove {
    #[command(flatten)]
    operator: Operator,
    /// The tenant; also one that is gone.
    tenant: TenantId,
    /// Proves only that this entry is sealed.
    #[arg(long, value_name = "ID", conflicts_with_all = ["from", "to"])]
    entry: Option<AuditEntryId>,
    /// Proves only that what stood at this seal is the beginning of what stands at a later one.
    #[arg(long, value_name = "SEAL", requires = "to")]
    from: Option<u64>,
    /// That later seal.
    #[arg(long, value_name = "SEAL", requires = "from")]
    to: Option<u64>,
}

#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// The file; `-` is standard input.
    file: PathBuf,
    /// Whose log it has to be: another tenant's is in order under the same keys, too.
    #[arg(long)]
    tenant: TenantId,
    #[command(flatten)]
    keys: Keys,
    /// Heads that were kept outside the database: what `seal --anchor` wrote, copied before the log was exported.
    #[arg(long, value_name = "FILE")]
    anchor: Option<PathBuf>,
}

/// Public keys.
#[derive(Args, Debug)]
pub(crate) struct Keys {
    /// A file with the public keys, one `name:base64` a line.
    #[arg(long, value_name = "FILE", required_unless_present = "key")]
    keys: Option<PathBuf>,
    /// A public key.
    #[arg(long, value_name = "NAME:BASE64")]
    key: Vec<String>,
}

/// Public keys beside the signer's own.
#[derive(Args, Debug)]
pub(crate) struct MoreKeys {
    /// A file with the public keys that seals were signed with before this one, one `name:base64` a line.
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
}

impl Keys {
    fn read(&self) -> Result<SealKeys> {
        let keys = self.key.iter().map(|text| SealKey::parse(text));
        let keys = keys.collect::<std::result::Result<Vec<_>, _>>()?;
        Ok(match &self.keys {
            Some(file) => SealKeys::parse(&text(file)?)?.with(keys),
            None => SealKeys::new(keys),
        })
    }
}

impl MoreKeys {
    pub(crate) fn read(&self, signer: &Ed25519Signer) -> Result<SealKeys> {
        let own = [signer.public_key()];
        Ok(match &self.keys {
            Some(file) => SealKeys::parse(&text(file)?)?.with(own),
            None => SealKeys::new(own),
        })
    }
}

pub(crate) async fn prove(what: Prove) -> Result {
    let operator = connect(&what.operator).await?;
    let mut out = std::io::stdout();
    let proofs = OperatorProofs::new(operator, what.tenant);
    if let Some(entry) = what.entry {
        out.write_all(proofs.inclusion_file(entry).await?.as_bytes())?;
    } else if let (Some(from), Some(to)) = (what.from, what.to) {
        out.write_all(proofs.consistency_file(from, to).await?.as_bytes())?;
    } else {
        let mut export = proofs.export().await?;
        while let Some(lines) = export.next_lines().await? {
            out.write_all(lines.as_bytes())?;
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Args, Debug)]
pub(crate) struct Adopt {
    #[command(flatten)]
    operator: Operator,
    #[command(flatten)]
    keys: MoreKeys,
    /// Heads that were kept outside the database, of each place: seals that they know and that are not there are named
    /// as lost.
    #[arg(long, value_name = "FILE")]
    anchor: Vec<PathBuf>,
    /// Of all tenants together, so many lost seals are kept in memory; five million if not given.
    #[arg(long, value_name = "SEALS", requires = "anchor")]
    most_lost: Option<usize>,
    /// Why, for the record.
    #[arg(long)]
    reason: String,
}

pub(crate) async fn adopt(what: &Adopt) -> Result {
    let signer = Ed25519Signer::from_env()?;
    let keys = what.keys.read(&signer)?;
    let mut adopter = Adopter::new(connect(&what.operator).await?, Arc::new(signer), keys);
    if let Some(seals) = what.most_lost {
        adopter = adopter.with_most_lost(seals);
    }
    for file in &what.anchor {
        adopter = adopter.with_anchor(open(file)?).await?;
    }
    let done = adopter.adopt(&what.reason).await?;
    for (tenant, seals) in &done.lost {
        println!("tenant {tenant}: {seals} seals are lost");
    }
    println!(
        "{} logs adopted, {} entries sealed",
        done.tenants, done.entries
    );
    if done.passed_over > 0 {
        println!(
            "lines of the anchor that are no head anybody signed: {}; verify the logs with it",
            done.passed_over
        );
    }
    if !done.sealing {
        println!(
            "nothing was ever sealed: the log goes on in this cluster, and a sealer begins with its first entry"
        );
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn verify(what: &Verify) -> Result {
    let mut verifier = Verifier::new(what.tenant, what.keys.read()?);
    if let Some(file) = &what.anchor {
        verifier = verifier.with_anchor(open(file)?)?;
    }
    let report = verifier.verify(open(&what.file)?)?;
    say(&report);
    Ok(ExitCode::from(u8::from(!report.is_intact())))
}

fn say(report: &ProofReport) {
    for adoption in &report.adoptions {
        println!(
            "adopted on {} behind seal {}, {} seals lost, {} entries out of order: {}",
            adoption.adopted_at.format("%Y-%m-%d %H:%M:%S"),
            adoption.seals,
            adoption.lost,
            adoption.loose,
            adoption.reason.escape_debug()
        );
    }
    for finding in &report.findings {
        println!("{}", printable(&finding.to_string()));
    }
    let more = report.found - report.findings.len() as u64;
    if more > 0 {
        println!("… and {more} more");
    }
    println!(
        "tenant {}: {} seals, {} entries as they were sealed, {} of them with details erased, {} removed by retention",
        report.tenant, report.seals, report.entries, report.erased, report.removed
    );
    if report.torn > 0 {
        println!(
            "lines of the anchor that were torn while they were written: {}",
            report.torn
        );
    }
    let verdict = if report.is_intact() {
        "nothing was changed"
    } else if report.is_behind() {
        "THE LOG ENDS BEFORE THE ANCHOR: seals were taken away, unless the heads are newer than the log (copy them first)"
    } else {
        "THE LOG WAS CHANGED"
    };
    println!("{verdict}");
}

pub(crate) fn text(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).map_err(|error| unreadable(file, &error))
}

pub(crate) fn open(file: &Path) -> Result<Box<dyn BufRead>> {
    if file == Path::new("-") {
        return Ok(Box::new(std::io::stdin().lock()));
    }
    let opened = File::open(file).map_err(|error| unreadable(file, &error))?;
    Ok(Box::new(BufReader::with_capacity(1 << 16, opened)))
}

fn unreadable(file: &Path, error: &std::io::Error) -> Box<dyn std::error::Error + Send + Sync> {
    format!("`{}` can't be read: {error}", file.display()).into()
}
