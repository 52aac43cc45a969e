//! The commands about roles and permissions: reviews, and policies as files.

use std::{fs::File, io::Read as _, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use clap::{Args, Subcommand, ValueEnum};
use tenancy::{
    authz::{
        ImportOptions, PgAuthorizer, PolicyDocument, RolePage, Roles, edited_roles, perm,
        purge_ended_roles,
    },
    core::{
        Permission as _, PermissionKey, RoleKey, ServiceKey, TenantCtx, TenantDb, TenantId, UserId,
        WorkerDb,
    },
};

use crate::{
    Operator, Worker,
    command::{Result, connect},
};

/// The name that audit entries of this binary bear.
const SERVICE: ServiceKey = ServiceKey::from_static("tenancy_cli");

#[derive(Debug, Subcommand)]
pub(crate) enum Authz {
    /// Lists what a member holds.
    #[command(visible_alias = "what-can")]
    Can {
        #[command(flatten)]
        which: Which,
        /// Who.
        member: UserId,
    },
    /// Shows what an import would change. Exit code 0: nothing; 1: something; 2: it can't be said.
    Diff {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        file: PolicyFile,
    },
    /// Lists the roles that the newest version of their template did not reach, of all tenants.
    Edited(Operator),
    /// Says why a user holds a permission, or why not. Exit code 0: he does; 1: he does not.
    Explain {
        #[command(flatten)]
        which: Which,
        /// Who.
        user: UserId,
        /// What.
        permission: PermissionKey,
    },
    /// Writes the policy of a tenant to standard output.
    Export {
        #[command(flatten)]
        which: Which,
        /// How it is written.
        #[arg(long, value_enum, default_value = "yaml")]
        format: Form,
    },
    /// Makes the policy of a tenant what a file says, as a whole or not at all, in the name and by the
    /// rights of a member.
    Import {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        file: PolicyFile,
        /// Makes all changes and takes them back: what would be refused is refused.
        #[arg(long)]
        dry_run: bool,
    },
    /// Shows which role grants what.
    Matrix {
        #[command(flatten)]
        which: Which,
        /// As a picture.
        #[arg(long)]
        svg: bool,
    },
    /// Deletes assignments of roles that ended long enough ago, of all tenants.
    Purge {
        #[command(flatten)]
        worker: Worker,
        /// How many days they are kept, for reviews.
        #[arg(long, default_value_t = 90)]
        keep_days: u32,
    },
    /// Lists who holds a permission, and by which roles.
    #[command(visible_alias = "who-can")]
    Who {
        #[command(flatten)]
        which: Which,
        /// What.
        permission: PermissionKey,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Form {
    /// For people.
    Yaml,
    /// For programs.
    Json,
}

/// A tenant, and in whose name its policy is looked at or changed.
#[derive(Args, Debug)]
pub(crate) struct Which {
    /// The tenant.
    tenant: TenantId,
    /// The application's login.
    #[arg(long, env = "TENANCY_APP_URL", hide_env_values = true)]
    app_url: String,
    /// The member by whose rights it is done; this program's own, which may read only, without it.
    #[arg(long = "as", value_name = "USER")]
    acting: Option<UserId>,
}

/// A policy in a file.
#[derive(Args, Debug)]
pub(crate) struct PolicyFile {
    /// YAML or JSON, as the export writes it.
    file: PathBuf,
    /// Roles and members that the file does not name go too.
    #[arg(long)]
    prune: bool,
}

impl Which {
    async fn open(&self) -> Result<(TenantCtx, Roles)> {
        let (ctx, roles, _) = self.parts().await?;
        Ok((ctx, roles))
    }

    async fn parts(&self) -> Result<(TenantCtx, Roles, Arc<PgAuthorizer>)> {
        let db = TenantDb::connect(&self.app_url).await?;
        let audit = Arc::new(tenancy::audit::PgAuditLog::new(db.clone()));
        let authorizer = Arc::new(PgAuthorizer::new(db.clone(), audit.clone()));
        let ctx = if let Some(user) = self.acting {
            db.enter(self.tenant, user).await?
        } else {
            let reads = vec![perm::RolesRead::KEY];
            db.enter_system(self.tenant, SERVICE, reads).await?
        };
        Ok((ctx, Roles::new(db, authorizer.clone(), audit), authorizer))
    }
}

impl PolicyFile {
    fn read(&self) -> Result<PolicyDocument> {
        let named = |error| format!("`{}` can't be read: {error}", self.file.display());
        let mut text = String::new();
        // One more than is allowed, so that the parser says what is.
        let most = PolicyDocument::MAX_BYTES as u64 + 1;
        let file = File::open(&self.file).map_err(named)?;
        file.take(most).read_to_string(&mut text).map_err(named)?;
        Ok(PolicyDocument::parse(&text)?)
    }

    fn options(&self) -> ImportOptions {
        ImportOptions::default().with_prune(self.prune)
    }
}

pub(crate) async fn run(command: Authz) -> Result {
    match command {
        Authz::Can { which, member } => {
            let (ctx, roles) = which.open().await?;
            for permission in roles.permissions_of_member(&ctx, member).await? {
                println!("{permission}");
            }
        }
        Authz::Diff { which, file } => {
            let policy = file.read()?;
            let (ctx, roles) = which.open().await?;
            let diff = roles.diff(&ctx, &policy, &file.options()).await?;
            print!("{diff}");
            return Ok(ExitCode::from(u8::from(!diff.is_empty())));
        }
        Authz::Edited(operator) => edited(&operator).await?,
        Authz::Explain {
            which,
            user,
            permission,
        } => {
            let (ctx, roles) = which.open().await?;
            let why = roles.why(&ctx, user, &permission).await?;
            println!("{why}");
            return Ok(ExitCode::from(u8::from(!why.is_allowed())));
        }
        Authz::Export { which, format } => {
            let (ctx, roles) = which.open().await?;
            let policy = roles.export(&ctx).await?;
            match format {
                Form::Yaml => print!("{}", policy.to_yaml()?),
                Form::Json => println!("{}", policy.to_json()),
            }
        }
        Authz::Import {
            which,
            file,
            dry_run,
        } => import(&which, &file, dry_run).await?,
        Authz::Matrix { which, svg } => matrix(&which, svg).await?,
        Authz::Purge { worker, keep_days } => {
            let worker = WorkerDb::connect(&worker.worker_url).await?;
            let keep = Duration::from_hours(24 * u64::from(keep_days));
            let deleted = purge_ended_roles(&worker, keep).await?;
            println!("{deleted} assignments deleted");
        }
        Authz::Who { which, permission } => who(&which, &permission).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn edited(operator: &Operator) -> Result<()> {
    let operator = connect(operator).await?;
    let mut after = None;
    loop {
        let page = edited_roles(&operator, after.clone(), 1_000).await?;
        for role in &page {
            let why = if role.is_own { "its own" } else { "edited" };
            println!(
                "{} {} version {} {why}",
                role.tenant, role.role, role.version
            );
        }
        match page.last() {
            Some(end) => after = Some((end.tenant, end.role.clone())),
            None => return Ok(()),
        }
    }
}

async fn import(which: &Which, file: &PolicyFile, dry_run: bool) -> Result<()> {
    if which.acting.is_none() {
        return Err("an import is made by the rights of a member: name him with --as".into());
    }
    let policy = file.read()?;
    let (ctx, roles, authorizer) = which.parts().await?;
    let options = file.options().with_dry_run(dry_run);
    let diff = roles.import(&ctx, &policy, &options).await?;
    // Who tells other processes is a task of this one.
    authorizer.flush_announcements().await;
    print!("{diff}");
    let done = if dry_run { "would be made" } else { "made" };
    println!("{} changes {done}", diff.changes.len());
    Ok(())
}

async fn matrix(which: &Which, svg: bool) -> Result<()> {
    let (ctx, roles) = which.open().await?;
    let mut matrix = roles.matrix(&ctx, &RolePage::default()).await?;
    let mut after = matrix.roles.last().map(|role| role.key.clone());
    while let Some(last) = after {
        let page = RolePage::default().after(last);
        let more = roles.matrix(&ctx, &page).await?.roles;
        after = more.last().map(|role| role.key.clone());
        matrix.roles.extend(more);
    }
    if svg {
        print!("{}", matrix.to_svg());
    } else {
        print!("{}", matrix.to_text());
    }
    Ok(())
}

async fn who(which: &Which, permission: &PermissionKey) -> Result<()> {
    let (ctx, roles) = which.open().await?;
    let mut after = None;
    loop {
        let page = roles.who_can(&ctx, permission, after, 200).await?;
        for holder in &page {
            let by: Vec<&str> = holder.roles.iter().map(RoleKey::as_str).collect();
            println!("{} {}", holder.user, by.join(" "));
        }
        match page.last() {
            Some(end) => after = Some(end.user),
            None => return Ok(()),
        }
    }
}
