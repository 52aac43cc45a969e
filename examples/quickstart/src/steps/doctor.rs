//! The doctor looks at all of it, and attacks it.

use tenancy::core::doctor::{Severity, Verdict};

use crate::{Result, Screen, World};

pub(crate) async fn run(screen: &mut Screen, world: &World) -> Result {
    screen.step("The doctor");
    screen.ask("tenancy doctor");
    let report = tenancy::doctor(&world.operator, Some(&world.db)).await?;
    screen.block(&report.to_text(false));
    screen.promise("no rule finds an error", report.count(Severity::Error) == 0);
    let matrix = report
        .matrix
        .as_ref()
        .ok_or("the attack was not carried out")?;
    let (leaked, tried) = (matrix.count(Verdict::Leaked), matrix.count(Verdict::Held));
    screen.promise(
        format!("{tried} attacks from tenant to tenant, none got through"),
        leaked == 0 && tried > 0,
    );
    screen.promise("exit code 0", report.exit_code() == 0);
    Ok(())
}
