//! An evaluator of alarms. It follows the rules in the sections "Alarm evaluation", "Configuring how CloudWatch alarms
//! treat missing data" and "Using math expressions" of CloudWatch's user guide.

use std::collections::BTreeMap;

use serde_json::Value;

/// All times here are in seconds.
pub(crate) const MINUTE: i64 = 60;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Ok,
    Alarm,
    InsufficientData,
}

/// The values that were sent for each metric, with their times in epoch seconds.
#[derive(Default)]
pub(crate) struct Sent(BTreeMap<String, Vec<(i64, f64)>>);

impl Sent {
    pub(crate) fn put(&mut self, metric: String, at: i64, value: f64) {
        let values = self.0.entry(metric).or_default();
        let place = values.partition_point(|(time, _)| *time <= at);
        values.insert(place, (at, value));
    }

    fn between(&self, metric: &str, from: i64, until: i64) -> Vec<f64> {
        let values = self.0.get(metric).map(Vec::as_slice).unwrap_or_default();
        let from = values.partition_point(|(time, _)| *time < from);
        let until = values.partition_point(|(time, _)| *time < until);
        values[from..until]
            .iter()
            .map(|(_, value)| *value)
            .collect()
    }
}

/// The name of a metric in [`Sent`].
pub(crate) fn metric(namespace: &str, name: &str, dimensions: &[(&str, &str)]) -> String {
    format!("{namespace} {name} {dimensions:?}")
}

pub(crate) struct Alarm {
    /// The metrics that the expression reads, by their ids.
    metrics: BTreeMap<String, Statistic>,
    /// The expression whose result is compared with the threshold.
    expression: String,
    pub(crate) period: i64,
    /// How many periods are evaluated, N.
    pub(crate) evaluation_periods: usize,
    /// How many datapoints have to be breaching, M.
    pub(crate) breaching_needed: usize,
    threshold: f64,
    is_breaching: fn(f64, f64) -> bool,
    /// How the alarm treats missing data.
    missing: String,
}

struct Statistic {
    metric: String,
    of: fn(&[f64]) -> f64,
}

impl Alarm {
    /// Reads the properties of an `AWS::CloudWatch::Alarm`.
    pub(crate) fn read(properties: &Value) -> Self {
        let (metrics, expression, period) = if let Some(queries) = properties["Metrics"].as_array()
        {
            let (results, inputs): (Vec<&Value>, Vec<&Value>) = queries
                .iter()
                .partition(|query| query["ReturnData"] == true);
            let [result] = results.as_slice() else {
                panic!("{} results", results.len());
            };
            let expression = result["Expression"].as_str().unwrap().to_owned();
            let period = number(&inputs[0]["MetricStat"]["Period"]);
            let metrics = inputs.iter().map(|query| {
                let input = &query["MetricStat"];
                assert_eq!(number(&input["Period"]), period, "one period for all");
                let id = query["Id"].as_str().unwrap().to_owned();
                (id, Statistic::read(&input["Metric"], &input["Stat"]))
            });
            (metrics.collect(), expression, period)
        } else {
            let metric = Statistic::read(properties, &properties["Statistic"]);
            let metrics = BTreeMap::from([("metric".to_owned(), metric)]);
            (metrics, "metric".to_owned(), number(&properties["Period"]))
        };
        let evaluation_periods = &properties["EvaluationPeriods"];
        let breaching_needed = match &properties["DatapointsToAlarm"] {
            Value::Null => evaluation_periods,
            given => given,
        };
        Self {
            metrics,
            expression,
            period,
            evaluation_periods: number(evaluation_periods).try_into().unwrap(),
            breaching_needed: number(breaching_needed).try_into().unwrap(),
            threshold: properties["Threshold"].as_f64().unwrap(),
            is_breaching: match properties["ComparisonOperator"].as_str().unwrap() {
                "GreaterThanThreshold" => |value, threshold| value > threshold,
                "GreaterThanOrEqualToThreshold" => |value, threshold| value >= threshold,
                "LessThanThreshold" => |value, threshold| value < threshold,
                other => panic!("{other} is not supported"),
            },
            missing: properties["TreatMissingData"].as_str().unwrap().to_owned(),
        }
    }

    pub(crate) fn metrics(&self) -> usize {
        self.metrics.len()
    }

    /// Whether N periods are longer than a day.
    fn is_multi_day(&self) -> bool {
        self.period * i64::try_from(self.evaluation_periods).unwrap() > DAY
    }

    /// Evaluates the alarm from a time until another; both are full hours. Returns the times at which its state
    /// changes, and the new states. CloudWatch looks back further than N periods to find enough data. How many periods
    /// further is not documented; it is `extra` here.
    pub(crate) fn play(
        &self,
        sent: &Sent,
        from: i64,
        until: i64,
        extra: usize,
    ) -> Vec<(i64, State)> {
        // A multi-day alarm is evaluated once an hour, over data up to the full hour.
        let every = if self.is_multi_day() { HOUR } else { MINUTE };
        let mut changes = Vec::new();
        let mut state = State::InsufficientData;
        let mut now = from;
        while now <= until {
            let mut end = now;
            let points = (0..self.evaluation_periods + extra).map(|_| {
                let point = self.datapoint(sent, end);
                end -= self.period;
                point.map(|value| (self.is_breaching)(value, self.threshold))
            });
            let points: Vec<Option<bool>> = points.collect();
            let (n, m) = (self.evaluation_periods, self.breaching_needed);
            let next = decide(&points, n, m, &self.missing).unwrap_or(state);
            if next != state {
                changes.push((now, next));
                state = next;
            }
            now += every;
        }
        changes
    }

    /// The result of the expression for the period that ends at a time.
    fn datapoint(&self, sent: &Sent, end: i64) -> Option<f64> {
        let value = |id: &str| {
            let statistic = &self.metrics[id];
            let values = sent.between(&statistic.metric, end - self.period, end);
            (!values.is_empty()).then(|| (statistic.of)(&values))
        };
        evaluate(&self.expression, value)
    }
}

impl Statistic {
    fn read(metric_of: &Value, statistic: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let dimensions = metric_of["Dimensions"].as_array().unwrap().iter();
        let dimensions = dimensions.map(|it| (text(&it["Name"]), text(&it["Value"])));
        let dimensions: Vec<(String, String)> = dimensions.collect();
        let dimensions = dimensions
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let dimensions: Vec<(&str, &str)> = dimensions.collect();
        let (namespace, name) = (
            text(&metric_of["Namespace"]),
            text(&metric_of["MetricName"]),
        );
        Self {
            metric: metric(&namespace, &name, &dimensions),
            of: match statistic.as_str().unwrap() {
                "Sum" => |values| values.iter().sum(),
                "Minimum" => |values| values.iter().copied().fold(f64::INFINITY, f64::min),
                "Maximum" => |values| values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                other => panic!("{other} is not supported"),
            },
        }
    }
}

/// A number, which is a string if it comes from a parameter.
fn number(value: &Value) -> i64 {
    match value {
        Value::String(text) => text.parse().unwrap(),
        other => other.as_i64().unwrap(),
    }
}

/// The state of an alarm on M of N datapoints. `points` are the datapoints, newest first: whether each is breaching, or
/// `None` if it is missing. The result is `None` if the alarm keeps its state.
fn decide(points: &[Option<bool>], n: usize, m: usize, missing: &str) -> Option<State> {
    let real: Vec<bool> = points.iter().flatten().copied().collect();
    let breaching = |points: &[bool]| points.iter().filter(|is_breaching| **is_breaching).count();
    let is_alarm = |it: bool| Some(if it { State::Alarm } else { State::Ok });
    // If there is enough data, the treatment of missing data does not matter.
    if real.len() >= n {
        return is_alarm(breaching(&real[..n]) >= m);
    }
    let count = breaching(&real);
    match missing {
        "breaching" => is_alarm(count + n - real.len() >= m),
        "notBreaching" => is_alarm(count >= m),
        "ignore" if count >= m || count < real.len() => is_alarm(count >= m),
        "ignore" => None,
        other => panic!("{other} is not supported"),
    }
}

/// The result of a math expression for one period. It supports the expressions in the template: a sum of terms. A term
/// is `FILL(metric, number)`, or consists of numbers and ids of metrics with `*` and `/` between them. If a term is
/// missing, the result is missing.
fn evaluate(expression: &str, value: impl Fn(&str) -> Option<f64>) -> Option<f64> {
    let operand = |word: &str| word.parse().ok().or_else(|| value(word));
    let term = |term: &str| {
        if let Some(filled) = term.strip_prefix("FILL(") {
            let (id, filling) = filled.strip_suffix(')').unwrap().split_once(", ").unwrap();
            return operand(id).or(operand(filling));
        }
        let mut words = term.split(' ');
        let mut result = operand(words.next().unwrap());
        while let (Some(sign), Some(word)) = (words.next(), words.next()) {
            result = result.zip(operand(word)).map(|(one, other)| match sign {
                "*" => one * other,
                "/" => one / other,
                _ => panic!("{sign} in {expression} is not supported"),
            });
        }
        result
    };
    expression.split(" + ").map(term).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples in the user guide, with an evaluation range of 5. The newest datapoint is the last one. X is
    /// breaching, 0 is not, and - is missing.
    #[test]
    fn the_states_agree_with_the_examples_in_the_user_guide() {
        const RETAINED: Option<State> = None;
        let (ok, alarm) = (Some(State::Ok), Some(State::Alarm));
        for (points, m, [ignore, breaching, not_breaching]) in [
            ("0-X-X", 3, [ok, ok, ok]),
            ("0----", 3, [ok, ok, ok]),
            ("-----", 3, [RETAINED, alarm, ok]),
            ("0XX-X", 3, [alarm, alarm, alarm]),
            ("--X--", 3, [RETAINED, alarm, ok]),
            ("----X", 3, [RETAINED, alarm, ok]),
            ("---X-", 3, [RETAINED, alarm, ok]),
            ("0-X-X", 2, [alarm, alarm, alarm]),
            ("00X0X", 2, [alarm, alarm, alarm]),
            ("0-X--", 2, [ok, alarm, ok]),
            ("----0", 2, [ok, alarm, ok]),
            ("---X-", 2, [RETAINED, alarm, ok]),
        ] {
            let newest_first = points.chars().rev().map(|point| match point {
                'X' => Some(true),
                '0' => Some(false),
                _ => None,
            });
            let newest_first: Vec<Option<bool>> = newest_first.collect();
            for (treatment, expected) in [
                ("ignore", ignore),
                ("breaching", breaching),
                ("notBreaching", not_breaching),
            ] {
                let state = decide(&newest_first, 3, m, treatment);
                assert_eq!(state, expected, "{points}, {m} of 3, {treatment}");
            }
        }
    }

    #[test]
    fn the_result_of_an_expression_is_missing_if_a_value_is_missing_and_not_filled() {
        let value = |id: &str| (id != "gone").then_some(6.0);
        for (text, expected) in [
            ("m", Some(6.0)),
            ("100 * m / 1000", Some(0.6)),
            ("gone", None),
            ("m + gone", None),
            ("FILL(gone, 0) + FILL(m, 0)", Some(6.0)),
        ] {
            assert_eq!(evaluate(text, value), expected, "{text}");
        }
    }
}
