from agent.metrics import TABLE, Metrics


def test_every_row_of_the_table_is_served() -> None:
    served = {family.name for family in Metrics().registry.collect()}

    assert {row.name.removesuffix("_total") for row in TABLE} == served
