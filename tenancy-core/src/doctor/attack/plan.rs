//! Which tables are attacked, and in which order they are given rows.

use sqlx::{PgPool, postgres::types::Oid};

use crate::{Error, doctor::scan::Scan};

/// A table or view to be attacked.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) rel: Oid,
    pub(super) name: String,
    /// The tenant column.
    pub(super) column: String,
    pub(super) is_view: bool,
    /// Where the rows are: the one table under a view, else the table itself.
    pub(super) base: Oid,
    is_partition: bool,
}

/// What a row of `child` needs: a row of `parent` with the same values.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct Reference {
    child: Oid,
    pub(super) parent: Oid,
    pub(super) parent_name: String,
    /// Columns of the child, and beside each the column of the parent.
    pub(super) mine: Vec<String>,
    pub(super) theirs: Vec<String>,
    /// Whether a NULL in it is enough.
    optional: bool,
}

#[derive(Debug, sqlx::FromRow)]
struct View {
    rel: Oid,
    name: String,
    column_name: String,
    base: Option<Oid>,
}

/// Everything that the catalog says about the attack.
#[derive(Debug)]
pub(super) struct Plan {
    targets: Vec<Target>,
    references: Vec<Reference>,
}

impl Plan {
    pub(super) async fn load(pool: &PgPool, scan: &Scan) -> Result<Self, Error> {
        let references = sqlx::query_as(include_str!("../sql/attack_references.sql"))
            .bind(scan.rels())
            .bind(scan.columns())
            .fetch_all(pool)
            .await?;
        let views: Vec<View> = sqlx::query_as(include_str!("../sql/attack_views.sql"))
            .bind(scan.rels())
            .bind(scan.columns())
            .bind(&scan.app_roles)
            .fetch_all(pool)
            .await?;
        let tables = scan.subjects.iter().map(|subject| Target {
            rel: subject.rel,
            name: subject.table_name.clone(),
            column: subject.column_name.clone(),
            is_view: false,
            base: subject.rel,
            is_partition: subject.is_partition,
        });
        let views = views.into_iter().map(|view| Target {
            rel: view.rel,
            name: view.name,
            column: view.column_name,
            is_view: true,
            base: view.base.unwrap_or(view.rel),
            is_partition: false,
        });
        Ok(Self {
            targets: tables.chain(views).collect(),
            references,
        })
    }

    pub(super) fn targets(&self) -> &[Target] {
        &self.targets
    }

    pub(super) fn target(&self, rel: Oid) -> Option<&Target> {
        self.targets.iter().find(|target| target.rel == rel)
    }

    pub(super) fn is_partition(&self, name: &str) -> bool {
        self.targets
            .iter()
            .any(|target| target.name == name && target.is_partition)
    }

    /// What a row of this table has to refer to. A table that refers to itself begins with a row
    /// that refers to nothing.
    pub(super) fn needed_by(&self, child: Oid) -> impl Iterator<Item = &Reference> {
        self.references
            .iter()
            .filter(move |key| key.child == child && !key.optional && key.parent != child)
    }

    /// The foreign keys of this table to tables of tenants, optional ones and those to itself too.
    pub(super) fn refers(&self, child: Oid) -> impl Iterator<Item = (&Reference, &Target)> {
        self.references
            .iter()
            .filter(move |key| key.child == child)
            .filter_map(|key| Some((key, self.target(key.parent)?)))
    }

    /// The tables that get rows, in groups, each group behind those that it refers to; partitions
    /// get theirs through their table. A circle is cut open anywhere.
    pub(super) fn in_order_of_references(&self) -> Vec<Vec<Oid>> {
        let tables = self
            .targets
            .iter()
            .filter(|target| !target.is_view && !target.is_partition);
        let parents = self.references.iter().map(|key| key.parent);
        let mut waiting: Vec<Oid> = Vec::new();
        for rel in tables.map(|target| target.rel).chain(parents) {
            if !waiting.contains(&rel) {
                waiting.push(rel);
            }
        }
        let mut groups = Vec::new();
        while !waiting.is_empty() {
            let free = |rel: &Oid| {
                self.needed_by(*rel)
                    .all(|key| !waiting.contains(&key.parent))
            };
            let (mut ready, mut rest): (Vec<Oid>, Vec<Oid>) =
                waiting.iter().partition(|rel| free(rel));
            if ready.is_empty() {
                ready.extend(rest.pop());
            }
            groups.push(ready);
            waiting = rest;
        }
        groups
    }
}
