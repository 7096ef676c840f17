//! Figures: how they are distributed, and how they are shown.

use std::time::Duration;

/// Times, in milliseconds, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times(Vec<f64>);

impl Times {
    /// Of these, whatever their order.
    pub(crate) fn of(times: impl IntoIterator<Item = f64>) -> Self {
        let mut times: Vec<f64> = times.into_iter().collect();
        times.sort_by(f64::total_cmp);
        Self(times)
    }

    /// The time that this part of them do not exceed, by nearest rank: 0.5 is the median.
    pub(crate) fn quantile(&self, part: f64) -> f64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is within the list's length")]
        let rank = (part * self.0.len() as f64).ceil() as usize;
        self.0.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
    }

    /// Median, 90th and 99th percentile and the longest.
    pub(crate) fn shown(&self) -> String {
        let [p50, p90, p99, longest] = [0.5, 0.9, 0.99, 1.0].map(|part| self.quantile(part));
        format!("{p50:.2} / {p90:.2} / {p99:.2} / {longest:.2}")
    }
}

/// In milliseconds.
pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Figures beside what is aimed for.
#[derive(Default)]
pub(crate) struct Table(Vec<[String; 4]>);

impl Table {
    /// A figure with an aim.
    pub(crate) fn aimed(&mut self, what: impl Into<String>, figure: f64, unit: &str, aim: f64) {
        let ratio = format!("{:.2}", figure / aim);
        self.0.push([what.into(), format!("{figure:.1} {unit}"), format!("{aim} {unit}"), ratio]);
    }

    /// A figure that is only reported.
    pub(crate) fn told(&mut self, what: impl Into<String>, figure: impl Into<String>) {
        self.0.push([what.into(), figure.into(), String::new(), String::new()]);
    }

    /// As Markdown.
    pub(crate) fn print(&self, title: &str) {
        println!("\n### {title}\n\n| | figure | aim | figure / aim |\n|---|---:|---:|---:|");
        for [what, figure, aim, ratio] in &self.0 {
            println!("| {what} | {figure} | {aim} | {ratio} |");
        }
    }
}
