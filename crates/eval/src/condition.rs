//! `--require 'task.accuracy>=0.9'`: a condition on a figure, checked for sense before anything is computed.

use crate::EvalError;
use crate::record::Results;
use crate::suite::Suite;
use std::collections::BTreeSet;
use std::str::FromStr;

/// `NAME.FIGURE[_rise|_fall][.upper|.lower] OP NUMBER`; NAME is a suite's or a skill's, or a role for the mean of its suites.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    pub text: String,
    /// Of a suite, or else of a skill, or else a role.
    pub name: String,
    pub figure: String,
    pub of: Of,
    pub end: End,
    pub op: Op,
    pub limit: f64,
}

/// Of which model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// The tuned one, or the only one.
    Value,
    /// Tuned less base.
    Rise,
    /// Base less tuned.
    Fall,
}

/// Which point of the 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Value,
    Lower,
    Upper,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    AtLeast,
    AtMost,
    Above,
    Below,
}

const OPS: [(&str, Op); 4] = [(">=", Op::AtLeast), ("<=", Op::AtMost), (">", Op::Above), ("<", Op::Below)];

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = "expected NAME.FIGURE, then >=, <=, > or <, then a number, such as task.accuracy>=0.9";
        let found = OPS.iter().find_map(|(sign, op)| Some((text.split_once(sign)?, *op)));
        let ((left, right), op) = found.ok_or(form)?;
        let limit: f64 = right.trim().parse().map_err(|_| form)?;
        if !limit.is_finite() {
            return Err(form.to_owned());
        }
        let (name, rest) = left.trim().split_once('.').ok_or(form)?;
        let (figure, end) = match rest.rsplit_once('.') {
            None => (rest, End::Value),
            Some((figure, "lower")) => (figure, End::Lower),
            Some((figure, "upper")) => (figure, End::Upper),
            Some((_, other)) => return Err(format!("{other:?} is no end of an interval: lower or upper")),
        };
        let (figure, of) = match (figure.strip_suffix("_rise"), figure.strip_suffix("_fall")) {
            (Some(figure), _) => (figure, Of::Rise),
            (_, Some(figure)) => (figure, Of::Fall),
            _ => (figure, Of::Value),
        };
        if name.is_empty() || figure.is_empty() {
            return Err(form.to_owned());
        }
        Ok(Condition { text: text.to_owned(), name: name.to_owned(), figure: figure.to_owned(), of, end, op, limit })
    }
}

impl Condition {
    /// Refuses what these suites will have no figure for. `models`: how many are compared.
    ///
    /// # Errors
    /// `Condition`.
    pub fn check(&self, suites: &[Suite], models: usize) -> Result<(), EvalError> {
        let refused = |why: String| Err(EvalError::Condition { condition: self.text.clone(), why });
        if self.of != Of::Value && models < 2 {
            return refused("a rise or a fall is between a base and a tuned model, and there is one model".to_owned());
        }
        let names: [fn(&Suite) -> &str; 3] = [|s| &s.name, |s| &s.skill, |s| s.role.name()];
        let called = |name: &fn(&Suite) -> &str| suites.iter().filter(|s| name(s) == self.name).collect::<Vec<_>>();
        let meant = names.iter().map(called).find(|meant| !meant.is_empty()).unwrap_or_default();
        if meant.is_empty() {
            let known: BTreeSet<&str> = suites.iter().flat_map(|s| names.map(|name| name(s))).collect();
            return refused(format!("{:?} is no suite, skill or role; there are {}", self.name, listed(&known)));
        }
        let known: BTreeSet<&str> = meant.iter().flat_map(|s| s.figure_names(models)).collect();
        match known.contains(self.figure.as_str()) {
            true => Ok(()),
            false => refused(format!("{} has no {:?}; it has {}", self.name, self.figure, listed(&known))),
        }
    }

    /// What was found, and whether the condition holds of it; it does not hold of what is no number.
    pub fn judge(&self, results: &Results) -> (Option<f64>, bool) {
        let found = results.find(self);
        let holds = found.is_some_and(|x| match self.op {
            Op::AtLeast => x >= self.limit,
            Op::AtMost => x <= self.limit,
            Op::Above => x > self.limit,
            Op::Below => x < self.limit,
        });
        (found, holds)
    }
}

fn listed(names: &BTreeSet<&str>) -> String {
    names.iter().copied().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read() {
        let c: Condition = "general.loss_rise.upper <= 0.02".parse().expect("a condition");
        assert_eq!(
            (c.name.as_str(), c.figure.as_str(), c.of, c.end, c.op, c.limit),
            ("general", "loss", Of::Rise, End::Upper, Op::AtMost, 0.02)
        );
        let c: Condition = "客服.macro_f1_fall<0.1".parse().expect("a condition");
        assert_eq!((c.name.as_str(), c.figure.as_str(), c.of, c.op), ("客服", "macro_f1", Of::Fall, Op::Below));
        for bad in
            ["task.accuracy", "accuracy>1", "task.>1", ".a>1", "task.accuracy>=", "task.accuracy>=NaN", "t.a.middle>1"]
        {
            assert!(bad.parse::<Condition>().is_err(), "{bad}");
        }
    }
}
