//! What must be true after the faults have stopped.

use std::rc::Rc;

use edge_session::{ErrorCode, Outcome};

use crate::Ms;
use crate::history::Sim;
use crate::request::{Op, Spec};
use crate::truth::SKEW;

/// After the faults have stopped, every session must be usable or gone within W, and acknowledged
/// saves must exist. `anywhere` chooses the server of a request, `live` lets time pass.
pub fn aftermath(sim: &Rc<Sim>, anywhere: &mut dyn FnMut() -> usize, live: &dyn Fn(&Rc<Sim>, Ms)) {
    sim.truth.borrow_mut().calm();
    sim.world
        .note(|| "from here on nothing goes wrong".to_owned());
    let wait = |milliseconds: Ms| live(sim, sim.world.now() + milliseconds);
    // Running requests end first.
    for _ in 0..20 {
        let requests = sim.truth.borrow().requests.len();
        if (0..requests).any(|id| sim.world.is_active(id)) {
            wait(30_000);
        }
    }
    wait(sim.rules.window + SKEW);
    let clients = sim.clients.borrow().len();
    for client in 0..clients {
        let mut id = sim.send(Spec::new(client, anywhere(), vec![Op::Read, Op::Set(0)]));
        wait(10_000);
        // Of two live sessions, the user chooses by a login.
        if sim
            .view(id)
            .is_some_and(|view| view.outcome == Outcome::Ambiguous)
        {
            let login = Op::Bind {
                owner: 0,
                keep: false,
            };
            sim.send(Spec::new(client, anywhere(), vec![login]));
            wait(sim.rules.window + SKEW);
            id = sim.send(Spec::new(client, anywhere(), vec![Op::Read, Op::Set(0)]));
            wait(10_000);
        }
        // A session may end between its load and its save. The next request starts again.
        if sim
            .answer(id)
            .is_some_and(|answer| matches!(answer.result, Err(ErrorCode::Expired)))
        {
            id = sim.send(Spec::new(client, anywhere(), vec![Op::Read, Op::Set(0)]));
            wait(10_000);
        }
        let found = sim.view(id).map(|view| view.outcome);
        let answer = sim.answer(id);
        let usable = !matches!(
            found,
            None | Some(
                Outcome::Pending | Outcome::Stale | Outcome::Unavailable | Outcome::Ambiguous
            )
        ) && answer.as_ref().is_some_and(|answer| {
            answer.result.is_ok() && answer.cookies.iter().any(|it| it.contains("-fresh="))
        });
        if !usable {
            let said = answer.map(|answer| answer.result);
            sim.truth.borrow_mut().fail("liveness", || {
                format!(
                    "#{id} finds {found:?} and is answered {said:?}, W after the faults have stopped"
                )
            });
            return;
        }
        wait(sim.rules.window + SKEW);
        let id = sim.send(Spec::new(client, anywhere(), vec![Op::Read, Op::List]));
        wait(10_000);
        let Some(view) = sim.view(id) else { return };
        if let (Some(key), Ok(content), Outcome::Loaded) = (&view.key, &view.content, view.outcome)
        {
            let mut truth = sim.truth.borrow_mut();
            truth.check_survival(&sim.world, key, content);
        }
        if sim.violation().is_some() {
            return;
        }
    }
}
