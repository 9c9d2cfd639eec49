"""Writes the demo day: `day.jsonl`, the records as they are published, and `expected.json`.

Run `python -m deploy.demo.write_day` after a change here. Both files come out the same on every
machine and every Python. What `expected.json` says is the author's word and the registers' own
tapes; the tests add the day up by other means.
"""

import base64
import json
from collections import Counter
from pathlib import Path

from deploy.demo.bakery import bakery_caisse_1, bakery_caisse_2
from deploy.demo.cafe import cafe_caja_2
from deploy.demo.corner_shop import WANJIRU, corner_shop, corner_shop_offline
from deploy.demo.kiosk import kiosk_day, kiosk_night
from deploy.demo.market import market_stall
from deploy.demo.parrot_day import play_session_308
from deploy.demo.register import OWN_TOKEN, PARKED, REFUSED, REPEATED, Line, Register
from deploy.demo.restaurant import restaurant_day
from deploy.demo.tape import Body

HERE = Path(__file__).parent
SEED = 308


def whole_day() -> list[Register]:
    """All registers of all shops, their day behind them."""
    caja_1 = Register(("parrot-cafe", "caja-1"), -6, SEED, numbered=True)
    caja_2 = Register(("parrot-cafe", "caja-2"), -6, SEED + 1, numbered=True)
    caisse_1 = Register(("fournil-lyon", "caisse-1"), 1, SEED + 2, numbered=True)
    caisse_2 = Register(("fournil-lyon", "caisse-2"), 1, SEED + 3, numbered=True)
    till_1 = Register(("duka-nairobi", "till-1"), 3, SEED + 4)
    till_2 = Register(("duka-nairobi", "till-2"), 3, SEED + 5)
    ventanilla_1 = Register(("kiosco-linea", "ventanilla-1"), -8, SEED + 6)
    ventanilla_2 = Register(("kiosco-linea", "ventanilla-2"), -8, SEED + 7)
    marche = Register(("fournil-lyon", "marche"), 1, SEED + 8)
    kasse_1 = Register(("zum-anker", "kasse-1"), 0, SEED + 9)
    play_session_308(caja_1)
    cafe_caja_2(caja_2)
    bakery_caisse_1(caisse_1)
    bakery_caisse_2(caisse_2, caisse_1)
    corner_shop(till_1, WANJIRU, 190, {"cash": 0, "mpesa": -15_000})
    corner_shop_offline(till_2)
    kiosk_day(ventanilla_1)
    kiosk_night(ventanilla_2)
    market_stall(marche)
    restaurant_day(kasse_1)
    return [caja_1, caja_2, caisse_1, caisse_2, till_1, till_2, ventanilla_1, ventanilla_2, marche, kasse_1]


def written(line: Line) -> str:
    """A record as a line of `day.jsonl`; `token` names another store than its own, `manager` a person."""
    entry: Body = {"key": line.key}
    if line.raw is None:
        entry["value"] = line.value
    else:
        entry["raw"] = base64.b64encode(line.raw).decode()
    if line.token != OWN_TOKEN:
        entry["token"] = line.token
    if line.manager is not None:
        entry["manager"] = line.manager
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":"))


def expected(lines: list[Line], registers: list[Register]) -> Body:
    """What must come of the day."""
    outcomes = Counter(line.outcome for line in lines)
    reasons = sorted(outcome for outcome in outcomes if outcome.startswith(REFUSED))
    kinds = sorted(set(outcomes) - set(reasons) - {REPEATED, PARKED})
    return {
        "records": len(lines),
        "accepted": {kind: outcomes[kind] for kind in kinds},
        "refused": {reason.removeprefix(REFUSED): outcomes[reason] for reason in reasons},
        "repeated": outcomes[REPEATED],
        "parked": outcomes[PARKED],
        "closings": [closing for register in registers for closing in register.closings],
        "corrections": [correction for register in registers for correction in register.corrections],
    }


def write_day(folder: Path) -> None:
    """Write `day.jsonl` and `expected.json` into `folder`."""
    registers = whole_day()
    lines = sorted((line for register in registers for line in register.lines), key=lambda line: line.sent_at)
    day = "".join(written(line) + "\n" for line in lines)
    (folder / "day.jsonl").write_text(day, encoding="utf-8")
    outcome = json.dumps(expected(lines, registers), ensure_ascii=False, indent=1)
    (folder / "expected.json").write_text(outcome + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_day(HERE)
