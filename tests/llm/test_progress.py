from app.llm.progress import Progress, counted


def test_each_item_is_told_of_once_it_was_dealt_with() -> None:
    told: list[Progress] = []
    seen = [(item, len(told)) for item in counted("ab", 2, "reading", told.append)]
    assert seen == [("a", 1), ("b", 2)]
    assert list(map(str, told)) == ["reading, 0 of 2", "reading, 1 of 2", "reading, 2 of 2"]
