//! `--json`: each event of a run as one object a line on stdout.

use serde_json::{Value, json};
use train::{Event, TaskLoss};

pub fn json(event: &Event<'_>) -> Value {
    match event {
        Event::Phase(name) => json!({"event": "phase", "phase": name}),
        Event::Note(text) => json!({"event": "note", "text": text}),
        Event::Preparing { rows, bytes, bytes_total } => {
            json!({"event": "preparing", "rows": rows, "bytes": bytes, "bytes_total": bytes_total})
        }
        Event::Hashing { bytes, bytes_total } => {
            json!({"event": "hashing", "bytes": bytes, "bytes_total": bytes_total})
        }
        Event::Quantising { bytes, bytes_total } => {
            json!({"event": "quantising", "bytes": bytes, "bytes_total": bytes_total})
        }
        Event::Writing { texts, of } => json!({"event": "writing", "texts": texts, "of": of}),
        Event::Probing { lambda, step, steps } => {
            json!({"event": "probing", "lambda": lambda, "step": step, "steps": steps})
        }
        Event::Probed { tried, holds } => json!({
            "event": "probed", "lambda": tried.lambda, "general_loss": tried.general_loss, "rise": tried.rise,
            "train_loss": tried.train_loss, "holds": holds,
        }),
        Event::Measuring { examples, of } => json!({"event": "measuring", "examples": examples, "of": of}),
        Event::Start { steps, first_step, trainable, parameters } => json!({
            "event": "start", "steps": steps, "first_step": first_step, "trainable": trainable, "parameters": parameters,
        }),
        Event::Step { step, steps, loss, lr, grad_norm, tokens, tokens_per_second, tasks } => with_tasks(
            json!({
                "event": "step", "step": step, "steps": steps, "loss": loss, "lr": lr, "grad_norm": grad_norm,
                "tokens": tokens, "tokens_per_second": tokens_per_second,
            }),
            tasks,
        ),
        Event::Valid { step, loss, best, unseen, tasks } => {
            let mut event = json!({"event": "valid", "step": step, "valid_loss": loss, "best": best});
            if let Some(unseen) = unseen {
                event["unseen_loss"] = json!(unseen);
            }
            with_tasks(event, tasks)
        }
        Event::Checkpoint { step, path } => json!({"event": "checkpoint", "step": step, "path": path}),
    }
}

/// The losses of tasks by their names, where the plan names some.
fn with_tasks(mut event: Value, tasks: &[TaskLoss]) -> Value {
    if !tasks.is_empty() {
        let named = tasks.iter().map(|t| (t.task.clone(), json!(t)));
        event["tasks"] = Value::Object(named.collect());
    }
    event
}

pub fn evaluation(at: &eval::Progress) -> Value {
    match at {
        eval::Progress::Checking { suite } => json!({"event": "checking", "suite": suite}),
        eval::Progress::Loading { who } => json!({"event": "loading", "who": who}),
        eval::Progress::Rows { suite, who, rows, total } => {
            json!({"event": "rows", "suite": suite, "who": who, "rows": rows, "rows_total": total})
        }
        eval::Progress::Kept { suite, who } => json!({"event": "kept", "suite": suite, "who": who}),
        eval::Progress::Statistics => json!({"event": "statistics"}),
    }
}
