//! What a developer calls.

mod builder;
mod database;
mod dev_db;
mod external;
mod local;
mod node;
mod template;
mod test_db;

pub use builder::DevDbBuilder;
pub use database::Database;
pub use dev_db::DevDb;
pub use node::Node;
pub use test_db::TestDb;
