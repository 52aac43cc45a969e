//! A hundred permissions as types, and a way to ask for one by its number.

use std::hint::black_box;

use tenancy_authz::{PgAuthorizer, Rights};
use tenancy_core::{PermissionDef, TenantCtx};

tenancy_core::permissions! {
    /// The permissions of the setting.
    pub(crate) mod key {
        K00 = "area0.k0", "a permission", [];
        K01 = "area0.k1", "a permission", [];
        K02 = "area0.k2", "a permission", [];
        K03 = "area0.k3", "a permission", [];
        K04 = "area0.k4", "a permission", [];
        K05 = "area0.k5", "a permission", [];
        K06 = "area0.k6", "a permission", [];
        K07 = "area0.k7", "a permission", [];
        K08 = "area0.k8", "a permission", [];
        K09 = "area0.k9", "a permission", [];
        K10 = "area1.k0", "a permission", [];
        K11 = "area1.k1", "a permission", [];
        K12 = "area1.k2", "a permission", [];
        K13 = "area1.k3", "a permission", [];
        K14 = "area1.k4", "a permission", [];
        K15 = "area1.k5", "a permission", [];
        K16 = "area1.k6", "a permission", [];
        K17 = "area1.k7", "a permission", [];
        K18 = "area1.k8", "a permission", [];
        K19 = "area1.k9", "a permission", [];
        K20 = "area2.k0", "a permission", [];
        K21 = "area2.k1", "a permission", [];
        K22 = "area2.k2", "a permission", [];
        K23 = "area2.k3", "a permission", [];
        K24 = "area2.k4", "a permission", [];
        K25 = "area2.k5", "a permission", [];
        K26 = "area2.k6", "a permission", [];
        K27 = "area2.k7", "a permission", [];
        K28 = "area2.k8", "a permission", [];
        K29 = "area2.k9", "a permission", [];
        K30 = "area3.k0", "a permission", [];
        K31 = "area3.k1", "a permission", [];
        K32 = "area3.k2", "a permission", [];
        K33 = "area3.k3", "a permission", [];
        K34 = "area3.k4", "a permission", [];
        K35 = "area3.k5", "a permission", [];
        K36 = "area3.k6", "a permission", [];
        K37 = "area3.k7", "a permission", [];
        K38 = "area3.k8", "a permission", [];
        K39 = "area3.k9", "a permission", [];
        K40 = "area4.k0", "a permission", [];
        K41 = "area4.k1", "a permission", [];
        K42 = "area4.k2", "a permission", [];
        K43 = "area4.k3", "a permission", [];
        K44 = "area4.k4", "a permission", [];
        K45 = "area4.k5", "a permission", [];
        K46 = "area4.k6", "a permission", [];
        K47 = "area4.k7", "a permission", [];
        K48 = "area4.k8", "a permission", [];
        K49 = "area4.k9", "a permission", [];
        K50 = "area5.k0", "a permission", [];
        K51 = "area5.k1", "a permission", [];
        K52 = "area5.k2", "a permission", [];
        K53 = "area5.k3", "a permission", [];
        K54 = "area5.k4", "a permission", [];
        K55 = "area5.k5", "a permission", [];
        K56 = "area5.k6", "a permission", [];
        K57 = "area5.k7", "a permission", [];
        K58 = "area5.k8", "a permission", [];
        K59 = "area5.k9", "a permission", [];
        K60 = "area6.k0", "a permission", [];
        K61 = "area6.k1", "a permission", [];
        K62 = "area6.k2", "a permission", [];
        K63 = "area6.k3", "a permission", [];
        K64 = "area6.k4", "a permission", [];
        K65 = "area6.k5", "a permission", [];
        K66 = "area6.k6", "a permission", [];
        K67 = "area6.k7", "a permission", [];
        K68 = "area6.k8", "a permission", [];
        K69 = "area6.k9", "a permission", [];
        K70 = "area7.k0", "a permission", [];
        K71 = "area7.k1", "a permission", [];
        K72 = "area7.k2", "a permission", [];
        K73 = "area7.k3", "a permission", [];
        K74 = "area7.k4", "a permission", [];
        K75 = "area7.k5", "a permission", [];
        K76 = "area7.k6", "a permission", [];
        K77 = "area7.k7", "a permission", [];
        K78 = "area7.k8", "a permission", [];
        K79 = "area7.k9", "a permission", [];
        K80 = "area8.k0", "a permission", [];
        K81 = "area8.k1", "a permission", [];
        K82 = "area8.k2", "a permission", [];
        K83 = "area8.k3", "a permission", [];
        K84 = "area8.k4", "a permission", [];
        K85 = "area8.k5", "a permission", [];
        K86 = "area8.k6", "a permission", [];
        K87 = "area8.k7", "a permission", [];
        K88 = "area8.k8", "a permission", [];
        K89 = "area8.k9", "a permission", [];
        K90 = "area9.k0", "a permission", [];
        K91 = "area9.k1", "a permission", [];
        K92 = "area9.k2", "a permission", [];
        K93 = "area9.k3", "a permission", [];
        K94 = "area9.k4", "a permission", [];
        K95 = "area9.k5", "a permission", [];
        K96 = "area9.k6", "a permission", [];
        K97 = "area9.k7", "a permission", [];
        K98 = "area9.k8", "a permission", [];
        K99 = "area9.k9", "a permission", [];
    }
}

pub(crate) const ALL: &[PermissionDef] = key::ALL;

type Peek = fn(&PgAuthorizer, &TenantCtx) -> Option<bool>;
type Look = fn(&Rights) -> bool;

macro_rules! by_number {
    ($($name:ident)+) => {
        /// What memory says of each.
        pub(crate) const PEEKS: [Peek; 100] = [$(
            |authz, ctx| authz.peek(ctx, key::$name::get()).map(tenancy_core::Decision::is_allowed)
        ),+];
        /// What the rights of a request say of each.
        pub(crate) const LOOKS: [Look; 100] = [$(|rights| rights.allows(key::$name::get())),+];

        /// Asks memory for each in turn, about somebody else each time. A permission stands where it is
        /// asked for, as in the code of a host: no table of functions that the processor mispredicts.
        pub(crate) fn peek_all<'a>(authz: &PgAuthorizer, mut next: impl FnMut() -> &'a TenantCtx) {
            $(black_box(authz.peek(next(), key::$name::get()));)+
        }

        /// Asks the rights of a request for each in turn.
        pub(crate) fn look_all(rights: &Rights) {
            $(black_box(rights.allows(key::$name::get()));)+
        }
    };
}

by_number! {
    K00 K01 K02 K03 K04 K05 K06 K07 K08 K09
    K10 K11 K12 K13 K14 K15 K16 K17 K18 K19
    K20 K21 K22 K23 K24 K25 K26 K27 K28 K29
    K30 K31 K32 K33 K34 K35 K36 K37 K38 K39
    K40 K41 K42 K43 K44 K45 K46 K47 K48 K49
    K50 K51 K52 K53 K54 K55 K56 K57 K58 K59
    K60 K61 K62 K63 K64 K65 K66 K67 K68 K69
    K70 K71 K72 K73 K74 K75 K76 K77 K78 K79
    K80 K81 K82 K83 K84 K85 K86 K87 K88 K89
    K90 K91 K92 K93 K94 K95 K96 K97 K98 K99
}
