use sessile_cluster::admin::StatusResponse;

use crate::status::health::judge;
use crate::status::row::{HEADINGS, printable, row};

/// What stands between two columns.
const GAP: &str = "  ";

/// A cluster for people: a line for each member, a sentence on its health, and what to look at.
pub(crate) fn render(status: &StatusResponse) -> String {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(status.members.iter().map(|member| row(status, member)));
    let mut text = if status.members.is_empty() { String::new() } else { aligned(&rows) + "\n" };
    text += &judge(status).1;
    text.push('\n');
    for alert in &status.alerts {
        text += &format!("alert: {}\n", printable(alert));
    }
    text
}

fn aligned(rows: &[[String; 9]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 9] = std::array::from_fn(width);
    let line = |row: &[String; 9]| {
        let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
            // Numbers end, and words begin, under each other.
            if matches!(column, 4 | 5) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        cells.collect::<Vec<_>>().join(GAP).trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;
    use crate::status::examples::{cluster, learner, pristine, without};

    #[test]
    fn the_table_is_what_stands_in_the_golden_files() {
        golden::check("status/healthy.txt", &render(&cluster(3)));
        let mut status = without(cluster(3), &[3]);
        status.members.push(learner(14));
        status.members[3].lag = 1_234_567;
        status.members[3].version.clear();
        status.members[3].since_ms = 0;
        status.members[2].name = "n2".to_owned();
        status.members[2].last_contact_ms = None;
        status.alerts = vec!["the disk of n2 is nearly full".to_owned(), "n3 was rolled back".to_owned()];
        golden::check("status/degraded.txt", &render(&status));
        golden::check("status/pristine.txt", &render(&pristine()));
    }
}
