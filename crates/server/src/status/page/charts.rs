use crate::status::amounts::{bytes, rate, wait};
use crate::status::last_hour::{HOUR, SAMPLE_EVERY, Stretch};
use crate::status::markup::{Row, section, table};
use crate::status::seen::Seen;

/// The size of a drawing, in its own units: one for ten seconds across. A browser stretches it.
const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 100.0;

/// How long the stretch is that one row of the table tells of.
const ROW_MINUTES: u64 = 5;

/// The longest wait that the histogram knows, in seconds: where a chart of waits ends.
const LONGEST_WAIT: f64 = 1.0;

/// A line of a chart: what it shows of each stretch, if there is anything to show.
struct Line {
    name: &'static str,
    value: fn(&Stretch) -> Option<f64>,
}

/// A chart: up to two lines over one hour, from zero to a round number above the highest of them.
struct Chart {
    id: &'static str,
    title: &'static str,
    lines: &'static [Line],
    unit: fn(f64) -> String,
    /// The steps at which its scale may end.
    scale: fn(f64) -> f64,
}

const CHARTS: [Chart; 4] = [
    Chart {
        id: "chart-requests",
        title: "Requests a second",
        lines: &[
            Line { name: "all", value: |stretch| Some(stretch.all()) },
            Line { name: "answered 5xx", value: |stretch| Some(stretch.failed()) },
        ],
        unit: rate,
        scale: round_above,
    },
    Chart {
        id: "chart-waits",
        title: "Waits",
        lines: &[
            Line { name: "99 of 100 within", value: |stretch| stretch.wait(0.99) },
            Line { name: "half within", value: |stretch| stretch.wait(0.5) },
        ],
        unit: wait,
        scale: |highest| round_above(highest * 1000.0).min(LONGEST_WAIT * 1000.0) / 1000.0,
    },
    Chart {
        id: "chart-disk-used",
        title: "Disk used by this node",
        lines: &[Line { name: "log and state", value: |stretch| stretch.disk.map(|disk| whole(disk.used)) }],
        unit: whole_bytes,
        scale: binary_above,
    },
    Chart {
        id: "chart-disk-free",
        title: "Disk free",
        lines: &[Line { name: "free", value: |stretch| stretch.disk.map(|disk| whole(disk.free)) }],
        unit: whole_bytes,
        scale: binary_above,
    },
];

/// What this node measured in the last hour: drawings, each with its sentence, and the same as a table.
pub(super) fn last_hour(seen: &Seen) -> String {
    let Some(newest) = seen.hour.last() else {
        let body = format!("<p>Nothing was measured yet: this takes {} s.</p>\n", 2 * SAMPLE_EVERY.as_secs());
        return section("hour", "The last hour at this node", &body);
    };
    let charts: String = CHARTS.iter().map(|chart| chart.draw(&seen.hour, newest)).collect();
    let limit = bytes(seen.disk_limit_bytes);
    let body = format!(
        "<div class=\"charts\">\n{charts}</div>\n<p class=\"soft\">Below {limit} of free disk writes are \
         refused.</p>\n<details id=\"hour-details\">\n<summary>The same as a table</summary>\n{}</details>\n",
        as_table(&seen.hour)
    );
    section("hour", "The last hour at this node", &body)
}

impl Chart {
    fn draw(&self, hour: &[Stretch], newest: &Stretch) -> String {
        let Self { id, title, lines, unit, scale } = self;
        let highest = |line: &Line| hour.iter().filter_map(line.value).fold(0.0, f64::max);
        let top = scale(lines.iter().map(highest).fold(0.0, f64::max));
        let sentence = |line: &Line| {
            let now = (line.value)(newest).map_or_else(|| "-".to_owned(), unit);
            format!("{} {now} now, {} at most", line.name, unit(highest(line)))
        };
        let legend = |(at, line): (usize, &Line)| format!("<span class=\"line{at}\">{}</span>", sentence(line));
        let legend: String = lines.iter().enumerate().map(legend).collect();
        let words: Vec<String> = lines.iter().map(sentence).collect();
        let paths: String = lines.iter().enumerate().rev().map(|(at, line)| path(at, hour, line.value, top)).collect();
        format!(
            "<figure id=\"{id}\">\n<figcaption><strong>{title}</strong> {legend}</figcaption>\n<p class=\"top\" \
             aria-hidden=\"true\">{}</p>\n<svg role=\"img\" aria-label=\"{title} in the last hour: {}\" viewBox=\"0 0 \
             {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\">\n<path class=\"grid\" d=\"M0 0H{WIDTH}M0 50H{WIDTH}M0 \
             {HEIGHT}H{WIDTH}\"/>\n{paths}</svg>\n<p class=\"ends\" aria-hidden=\"true\"><span>an hour \
             ago</span><span>now</span></p>\n</figure>\n",
            unit(top),
            words.join("; ")
        )
    }
}

/// A line from the left, an hour ago, to the right, now. It has a gap where there is nothing to show.
fn path(at: usize, hour: &[Stretch], value: fn(&Stretch) -> Option<f64>, top: f64) -> String {
    let mut steps = String::new();
    let mut step = 'M';
    for stretch in hour {
        let left = HOUR.as_secs_f64() - stretch.ended_ago.as_secs_f64();
        let Some(value) = value(stretch).filter(|_| left >= 0.0) else {
            step = 'M';
            continue;
        };
        let x = left / SAMPLE_EVERY.as_secs_f64();
        let y = HEIGHT * (1.0 - (value / top).clamp(0.0, 1.0));
        if step == 'M' {
            // A point without neighbours shows as well.
            steps += &format!("M{:.1} {y:.1}h.1", x - 0.1);
        } else {
            steps += &format!("L{x:.1} {y:.1}");
        }
        step = 'L';
    }
    format!("<path class=\"line{at}\" d=\"{steps}\"/>\n")
}

/// A row for every five minutes, the newest first.
fn as_table(hour: &[Stretch]) -> String {
    const HEADINGS: [&str; 8] = [
        "When",
        "Requests a second",
        "Reads a second",
        "5xx a second",
        "Half within",
        "99 of 100 within",
        "Disk used",
        "Disk free",
    ];
    let row_of = |stretch: &Stretch| stretch.ended_ago.as_secs() / (ROW_MINUTES * 60);
    let rows = hour.chunk_by(|one, next| row_of(one) == row_of(next)).rev().filter_map(|chunk| {
        let (first, rest) = chunk.split_first()?;
        let all = rest.iter().fold(*first, |all, next| all.and(next));
        let from = row_of(first) * ROW_MINUTES;
        let waits = [0.5, 0.99].map(|share| all.wait(share).map_or_else(|| "-".to_owned(), wait));
        let disk = |of: fn(crate::status::last_hour::DiskBytes) -> u64| all.disk.map(of).map(bytes);
        let [used, free] = [disk(|disk| disk.used), disk(|disk| disk.free)].map(|told| told.unwrap_or("-".to_owned()));
        let cells = [format!("{from} to {} min ago", from + ROW_MINUTES), rate(all.all()), rate(all.reads())];
        let cells = cells.into_iter().chain([rate(all.failed())]).chain(waits).chain([used, free]).collect();
        Some(Row { id: None, cells })
    });
    table("The last hour in rows of five minutes", &HEADINGS, rows)
}

/// 1, 2 or 5 with zeros behind it, at least 1.
fn round_above(highest: f64) -> f64 {
    let mut power = 1.0;
    while power < 1e15 {
        if let Some(round) = [1.0, 2.0, 5.0].map(|digit| digit * power).into_iter().find(|round| *round >= highest) {
            return round;
        }
        power *= 10.0;
    }
    highest
}

/// The same of a unit of 1024, in bytes.
fn binary_above(highest: f64) -> f64 {
    let mut unit = 1024.0;
    while unit < 1e18 {
        let round = round_above(highest / unit);
        if round < 1000.0 {
            return round * unit;
        }
        unit *= 1024.0;
    }
    highest
}

#[allow(clippy::cast_precision_loss, reason = "a drawing")]
fn whole(bytes: u64) -> f64 {
    bytes as f64
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was a number of bytes")]
fn whole_bytes(amount: f64) -> String {
    bytes(amount.max(0.0) as u64)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sessile_http::RequestTotals;

    use super::*;

    #[test]
    fn a_scale_ends_at_a_round_number() {
        for (highest, top) in [(0.0, 1.0), (1.0, 1.0), (1.1, 2.0), (3.0, 5.0), (51.0, 100.0), (2001.0, 5000.0)] {
            assert_eq!(round_above(highest), top);
        }
        for (highest, top) in [(0.0, 1024.0), (1025.0, 2048.0), (600.0 * 1024.0, 1024.0 * 1024.0)] {
            assert_eq!(binary_above(highest), top);
        }
    }

    #[test]
    fn a_line_has_a_gap_where_nothing_is_known() {
        let at = |ended_ago, waits| Stretch {
            ended_ago: Duration::from_secs(ended_ago),
            lasted: SAMPLE_EVERY,
            requests: RequestTotals { waits, ..RequestTotals::default() },
            disk: None,
        };
        let one = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        let hour = [at(3_610, one), at(3_600, one), at(3_590, one), at(3_580, [0; 11]), at(0, one)];
        let path = path(1, &hour, |stretch| stretch.wait(0.5), 1.0);
        assert_eq!(path, "<path class=\"line1\" d=\"M-0.1 0.0h.1L1.0 0.0M359.9 0.0h.1\"/>\n");
    }
}
