//! Where everything stands in the picture.

use super::svg::Svg;
use super::{Bucket, Gauge, Timeline};
use crate::outages::alerts::Alert;

const WIDTH: f64 = 1_000.0;
/// Where time begins and ends; names stand before it.
const LEFT: f64 = 240.0;
const RIGHT: f64 = 985.0;
/// Where the first band begins: below the title and the numbers of what happened.
const TOP: f64 = 62.0;
const REQUESTS_HIGH: f64 = 80.0;
const WAITS_HIGH: f64 = 50.0;
const GAUGE_HIGH: f64 = 60.0;
const BETWEEN: f64 = 22.0;
const ROW_HIGH: f64 = 18.0;
/// How near two numbers may stand before the second one goes into the other row.
const NEAR: f64 = 16.0;
/// How many marks the axis of time has, about.
const MARKS: f64 = 8.0;
/// What marks may be apart, in seconds.
const STEPS: [f64; 9] = [5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 180.0, 300.0, 600.0];

impl Timeline {
    /// The picture, as a file.
    pub(in super::super) fn draw(&self, title: &str) -> String {
        let mut svg = Svg::of(WIDTH);
        svg.text(14.0, 24.0, "title", title);
        let mut bands = Svg::of(WIDTH);
        let mut y = self.requests(&mut bands, TOP) + BETWEEN;
        y = self.waits(&mut bands, y) + BETWEEN;
        if let Some(gauge) = &self.gauge {
            y = self.figure(&mut bands, gauge, y) + BETWEEN;
        }
        y = self.alert_rows(&mut bands, y);
        y = self.axis(&mut bands, y + 8.0);
        let bottom = y - 20.0;
        self.numbers(&mut svg, bottom);
        svg.absorb(&bands);
        let height = self.legend(&mut svg, y + 14.0);
        svg.end(height, title, &self.described())
    }

    fn x(&self, seconds: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * (seconds / self.end.as_secs_f64().max(1.0)).clamp(0.0, 1.0)
    }

    /// Requests a second: answered, and on top of these refused and failed.
    fn requests(&self, svg: &mut Svg, top: f64) -> f64 {
        let seconds = self.buckets.width.as_secs_f64();
        let rate = |count: u32| f64::from(count) / seconds;
        let all = |of: &Bucket| rate(of.answered + of.refused + of.failed);
        let most = self.buckets.all.iter().map(all).fold(1.0, f64::max);
        let bottom = top + REQUESTS_HIGH;
        band(svg, top, REQUESTS_HIGH, "requests of the mix a second", &format!("{most:.0}"));
        for (nth, of) in (0_u32..).zip(&self.buckets.all) {
            let (x, next) = (self.x(f64::from(nth) * seconds), self.x(f64::from(nth + 1) * seconds));
            let mut y = bottom;
            let counts =
                [("good", "answered", of.answered), ("refused", "no room", of.refused), ("bad", "failed", of.failed)];
            for (class, word, count) in counts.into_iter().filter(|(.., count)| *count > 0) {
                // What failed is seen, however little it is.
                let least = if class == "bad" { 3.0 } else { 0.0 };
                let high = (REQUESTS_HIGH * rate(count) / most).max(least);
                y -= high;
                let told = format!("{:.0} s: {count} {word}", f64::from(nth) * seconds);
                svg.bar([x, y, (next - x - 0.5).max(0.5), high], class, &told);
            }
        }
        bottom
    }

    /// The longest wait of each moment.
    fn waits(&self, svg: &mut Svg, top: f64) -> f64 {
        let seconds = self.buckets.width.as_secs_f64();
        let longest = self.buckets.all.iter().map(|of| of.longest.as_secs_f64() * 1e3).fold(1.0, f64::max);
        band(svg, top, WAITS_HIGH, "longest wait, ms", &format!("{longest:.0}"));
        for (nth, of) in (0_u32..).zip(&self.buckets.all) {
            let (x, next) = (self.x(f64::from(nth) * seconds), self.x(f64::from(nth + 1) * seconds));
            let wait = of.longest.as_secs_f64() * 1e3;
            let high = WAITS_HIGH * wait / longest;
            let told = format!("{:.0} s: {wait:.0} ms", f64::from(nth) * seconds);
            svg.bar([x, top + WAITS_HIGH - high, (next - x - 0.5).max(0.5), high], "wait", &told);
        }
        top + WAITS_HIGH
    }

    fn figure(&self, svg: &mut Svg, gauge: &Gauge, top: f64) -> f64 {
        let most = gauge.points.iter().map(|(_, value)| *value).fold(1.0, f64::max);
        band(svg, top, GAUGE_HIGH, &gauge.title, &format!("{most:.0}"));
        let place = |&(at, value): &(f64, f64)| (self.x(at), top + GAUGE_HIGH * (1.0 - (value / most).clamp(0.0, 1.0)));
        svg.curve(gauge.points.iter().map(place), "gauge");
        top + GAUGE_HIGH
    }

    /// A row for each alert: pale while its condition holds, full while it fires.
    fn alert_rows(&self, svg: &mut Svg, top: f64) -> f64 {
        let mut rows: Vec<(&str, &str)> = Vec::new();
        for alert in &self.alerts {
            if !rows.contains(&(&alert.name, &alert.of)) {
                rows.push((&alert.name, &alert.of));
            }
        }
        let mut y = top;
        for row in rows {
            svg.text(LEFT - 10.0, y + 12.0, "end", format_args!("{} {}", row.0, row.1));
            for alert in self.alerts.iter().filter(|alert| (alert.name.as_str(), alert.of.as_str()) == row) {
                let Alert { pages, pending, fired, ended, .. } = alert;
                let severity = if *pages { "page" } else { "ticket" };
                let end = self.x(ended.unwrap_or(self.end.as_secs_f64()));
                let (waits, fires) = (self.x(*pending), self.x(*fired));
                svg.bar(
                    [waits, y + 3.0, fires - waits, 10.0],
                    &format!("{severity} pending"),
                    &format!("since {pending:.0} s"),
                );
                let told = format!("{severity}: fires at {fired:.0} s");
                svg.bar([fires, y + 3.0, (end - fires).max(1.5), 10.0], severity, &told);
            }
            y += ROW_HIGH;
        }
        y
    }

    fn axis(&self, svg: &mut Svg, y: f64) -> f64 {
        let end = self.end.as_secs_f64();
        let step = STEPS.into_iter().find(|step| end / step <= MARKS).unwrap_or(STEPS[STEPS.len() - 1]);
        svg.line((LEFT, y), (RIGHT, y), "");
        let mut at = 0.0;
        while at <= end {
            svg.line((self.x(at), y), (self.x(at), y + 5.0), "");
            let said = if step < 60.0 { format!("{at:.0} s") } else { format!("{:.0} min", at / 60.0) };
            svg.text(self.x(at), y + 19.0, "faint middle", said);
            at += step;
        }
        y + 20.0
    }

    /// Where what happened: a line down to the axis, and its number above it.
    fn numbers(&self, svg: &mut Svg, bottom: f64) {
        let mut last = [f64::NEG_INFINITY; 2];
        for (number, (at, _)) in (1..).zip(&self.events) {
            let x = self.x(at.as_secs_f64());
            let row = usize::from(x - last[0] < NEAR && last[1] <= last[0]);
            let shifted = if x - last[row] < NEAR { last[row] + NEAR } else { x };
            last[row] = shifted;
            #[expect(clippy::cast_precision_loss, reason = "0 or 1")]
            let y = TOP - 12.0 - 16.0 * row as f64;
            svg.line((x, y), (x, bottom), "event");
            svg.badge(shifted.min(WIDTH - 9.0), y, number);
        }
    }

    fn legend(&self, svg: &mut Svg, top: f64) -> f64 {
        let kinds = [
            ("good", "answered"),
            ("refused", "write without room"),
            ("bad", "failed"),
            ("page", "page"),
            ("ticket", "ticket"),
        ];
        let mut x = LEFT;
        for (class, word) in kinds {
            svg.bar([x, top - 9.0, 10.0, 10.0], class, word);
            svg.text(x + 15.0, top, "faint", word);
            x += 150.0;
        }
        let mut y = top + 26.0;
        for (number, (at, what)) in (1..).zip(&self.events) {
            svg.badge(24.0, y - 4.0, number);
            svg.text(100.0, y, "faint end", format_args!("{:.1} s", at.as_secs_f64()));
            svg.text(112.0, y, "", what);
            y += ROW_HIGH + 2.0;
        }
        y
    }

    /// For who cannot see it.
    fn described(&self) -> String {
        let events = self.events.iter().map(|(at, what)| format!("{:.0} s: {what}", at.as_secs_f64()));
        let alerts = self.alerts.iter().map(|alert| format!("{:.0} s: {} {} fires", alert.fired, alert.name, alert.of));
        events.chain(alerts).collect::<Vec<_>>().join(". ")
    }
}

/// A name, the most that is shown, and the lines at nothing and at that.
fn band(svg: &mut Svg, top: f64, high: f64, name: &str, most: &str) {
    svg.text(LEFT - 10.0, top + high / 2.0 + 4.0, "end", name);
    svg.text(LEFT - 10.0, top + 4.0, "faint end", most);
    svg.line((LEFT, top), (RIGHT, top), "");
    svg.line((LEFT, top + high), (RIGHT, top + high), "");
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::outages::timeline::Buckets;

    /// Where every `name="…"` of the picture is.
    fn attributes(drawn: &str, name: &str) -> Vec<f64> {
        let begins = format!(" {name}=\"");
        let parts = drawn.split(&begins).skip(1);
        parts.filter_map(|rest| rest.split('"').next()?.parse().ok()).collect()
    }

    #[test]
    fn a_replay_is_drawn_within_its_picture() {
        let second = Duration::from_secs(1);
        let mut buckets = Buckets::of(300 * second);
        (0..300).for_each(|at| buckets.answered(at * second, second / 100));
        buckets.failed(100 * second, 2 * second);
        buckets.refused(700 * second, second);
        let alert = |fired, ended| Alert {
            name: "Down".into(),
            of: "n1".into(),
            pages: true,
            pending: fired - 30.0,
            fired,
            ended,
        };
        let timeline = Timeline {
            end: 300 * second,
            buckets,
            gauge: Some(Gauge { title: "MB".into(), points: vec![(0.0, 900.0), (310.0, -5.0)] }),
            events: (0..20).map(|at| (at * second, format!("event <{at}>"))).collect(),
            alerts: vec![alert(60.0, Some(90.0)), alert(120.0, None)],
        };
        let drawn = timeline.draw("a day");
        let (wide, high) = (WIDTH, attributes(&drawn, "height").into_iter().fold(0.0, f64::max));
        for (name, most) in [("x", wide), ("x1", wide), ("cx", wide), ("y", high), ("y2", high), ("cy", high)] {
            let outside: Vec<_> =
                attributes(&drawn, name).into_iter().filter(|at| !(0.0..=most).contains(at)).collect();
            assert!(outside.is_empty(), "{name}: {outside:?}");
        }
        for shown in ["event &lt;19&gt;", "Down n1</text>", "100 s: 1 failed", "page: fires at 60 s", "5 min"] {
            assert!(drawn.contains(shown), "{shown}\n{drawn}");
        }
        assert_eq!(drawn.matches("Down n1</text>").count(), 1, "one row for one alert");
    }
}
