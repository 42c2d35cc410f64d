//! How good the coordinator is, in virtual time: the figures of its README, made anew by
//! `cargo xtask simulate --measure KILLS`.

pub mod efficiency;
pub mod painting;
pub mod recovery;
mod spread;
pub mod traffic;

pub use spread::Spread;

/// All tables, in Markdown: `kills` of each kind by seed, then the rooms of [`efficiency`] and [`painting`], and [`traffic`].
///
/// # Errors
/// The first room that did not do what it is measured at.
pub fn report(kills: u64) -> Result<String, String> {
    let mut table = recovery_table(kills)?;
    table.push('\n');
    table.push_str(&efficiency_table()?);
    table.push('\n');
    table.push_str(&painting_table()?);
    table.push('\n');
    table.push_str(&traffic_table());
    Ok(table)
}

/// Milliseconds of the longest silence on the asker's screen from the kill on.
fn recovery_table(kills: u64) -> Result<String, String> {
    let mut table = String::from("| room | lost in mid-story | how | kills | p50 ms | p95 ms | max ms |\n");
    table.push_str("|---|---|---|---|---|---|---|\n");
    for place in [recovery::Where::House, recovery::Where::Region, recovery::Where::World] {
        for (lost, how) in recovery::KINDS {
            let Spread { count, p50, p95, max } = recovery::recovery(place, lost, how, 1..kills + 1)?;
            table.push_str(&format!("| {place} | {lost} | {how} | {count} | {p50} | {p95} | {max} |\n"));
        }
    }
    Ok(table)
}

fn efficiency_table() -> Result<String, String> {
    let mut table =
        String::from("| room | measured | against | ratio | devices busy |\n|---|---|---|---|---|\n");
    for efficiency::Figure { room, measured, against, busy } in efficiency::all()? {
        let (ratio, busy) = (measured / against, busy * 100.0);
        table.push_str(&format!(
            "| {room} | {measured:.1} tokens/s | {against:.1} tokens/s | {ratio:.2} | {busy:.0} % |\n"
        ));
    }
    Ok(table)
}

fn painting_table() -> Result<String, String> {
    let mut table =
        String::from("| what is painted | s | s on one device | faster by | goal |\n|---|---|---|---|---|\n");
    for figure in painting::all()? {
        let seconds = |ms: u64| ms as f64 / 1e3;
        let (ms, alone, ratio) = (seconds(figure.ms), seconds(figure.alone_ms), figure.ratio());
        let painting::Figure { room, goal, .. } = figure;
        table.push_str(&format!("| {room} | {ms:.1} | {alone:.1} | {ratio:.2} | {goal:.2} |\n"));
    }
    Ok(table)
}

/// Megabytes sent in a step by each member.
fn traffic_table() -> String {
    let mut table =
        String::from("| how a picture is shared | MB that each member sends in a step |\n|---|---|\n");
    for traffic::Traffic { split, sent } in traffic::all() {
        let sent: Vec<String> = sent.iter().map(|bytes| format!("{:.2}", *bytes as f64 / 1e6)).collect();
        table.push_str(&format!("| {split} | {} |\n", sent.join(", ")));
    }
    table
}
