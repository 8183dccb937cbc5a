"""A run keeps what it has committed, and says honestly what it cannot do yet."""

import pytest
import torch

import ringsync.torch as hvd
from ringsync.torch.elastic import HostUpdateResult, ObjectState, State, StateHandler
from ringsync.torch.errors import HostsUpdatedInterrupt


def test_parts_of_all_kinds_follow_rank_zero_and_the_last_commit(ranks):
    def work():
        hvd.init()
        rank = hvd.rank()
        torch.manual_seed(rank)
        net = torch.nn.Linear(2, 2)
        optimizer = torch.optim.Adam(net.parameters(), lr=0.1 * (1 + rank))
        sampler = hvd.elastic.ElasticSampler(range(8), shuffle=False)

        def step():
            optimizer.zero_grad()
            net(torch.ones(1, 2)).sum().backward()
            optimizer.step()

        def now():
            moments = [s["exp_avg"].clone() for s in optimizer.state.values()]
            return [t.clone() for t in net.state_dict().values()] + moments

        step()
        state = hvd.elastic.TorchState(
            net, optimizer, sampler=sampler, batch=20 + rank, losses=[rank]
        )
        sampler.record_batch(0, 1 + rank)
        state.sync()
        synced = now(), state.batch, list(state.losses), sampler.state_dict()
        for wrong in (1, 2):  # the saved state survives being restored
            step()
            state.batch = 99
            state.losses.append(wrong)
            sampler.record_batch(0, 1)
            state.restore()
            assert all(torch.equal(a, b) for a, b in zip(now(), synced[0], strict=True))
            assert (state.batch, list(state.losses), sampler.state_dict()) == synced[1:]
        step()
        state.losses.append(7)
        state.batch += 1
        state.commit()
        committed = now()
        step()
        state.losses.clear()
        state.restore()
        assert all(torch.equal(a, b) for a, b in zip(now(), committed, strict=True))
        assert (state.batch, state.losses) == (21, [0, 7])
        return synced

    first, second = ranks(2, work)
    assert first[1:] == second[1:] == (20, [0], {"epoch": 0, "processed_num": 2})
    assert all(torch.equal(a, b) for a, b in zip(first[0], second[0], strict=True))


def test_what_was_not_committed_is_exchanged_as_it_is(ranks):
    def work():
        hvd.init()
        state = hvd.elastic.TorchState(batch=0)
        state.batch = 5 + hvd.rank()  # check_host_updates() alone keeps a model like that, too
        state.sync()
        return state.batch

    assert ranks(2, work) == [5, 5]


def test_another_model_in_its_place_is_saved_from_then_on(ranks):
    def work():
        hvd.init()
        state = hvd.elastic.TorchState(model=torch.nn.Linear(1, 1))
        state.model = torch.nn.Linear(1, 1, bias=False)
        with torch.no_grad():
            before = state.model.weight.clone()
            state.model.weight.zero_()
        state.restore()
        assert torch.equal(state.model.weight, before)

    ranks(1, work)


def test_the_registry_says_how_a_kind_is_kept(ranks):
    def work():
        class Counter:
            count = 0

        class CounterHandler(hvd.elastic.StateHandler):
            def save(self):
                self.saved = self.value.count

            def restore(self):
                self.value.count = self.saved

            def sync(self):
                self.value.count = hvd.broadcast_object(self.value.count)

        hvd.init()
        registry = hvd.elastic.get_handler_registry()
        hvd.elastic.set_handler_registry([*registry, (Counter, CounterHandler)])
        counter = Counter()
        counter.count = 3 + hvd.rank()
        state = hvd.elastic.TorchState(counter=counter)
        state.sync()
        state.save()
        counter.count = 0
        state.restore()
        hvd.elastic.set_handler_registry(registry)
        return state.counter is counter, counter.count

    assert ranks(2, work) == [(True, 3)] * 2


def test_the_sampler_deals_every_sample_once_and_the_rest_after_a_restart(ranks):
    def work():
        hvd.init()
        sampler = hvd.elastic.ElasticSampler(range(10), shuffle=True, seed=3)
        whole = list(sampler)
        assert len(whole) == len(sampler) == 5
        sampler.record_batch(0, 2)
        done = sampler.state_dict()
        sampler.load_state_dict(done)
        rest = list(sampler)
        sampler.set_epoch(1)
        return whole, rest, list(sampler), done

    first, second = ranks(2, work)
    assert sorted(first[0] + second[0]) == list(range(10))
    assert first[3] == second[3] == {"epoch": 0, "processed_num": 4}
    assert sorted(first[0][:2] + second[0][:2] + first[1] + second[1]) == list(range(10))
    assert sorted(first[2] + second[2]) == list(range(10))
    assert first[2] != first[0]  # another order in each epoch


def test_fewer_samples_than_ranks_are_dealt_to_all(ranks):
    def work():
        hvd.init()
        one, none = (list(hvd.elastic.ElasticSampler(range(n))) for n in (1, 0))
        return one, none

    assert ranks(3, work) == [([0], [])] * 3


def test_all_ranks_start_over_when_rank_zero_knows_of_new_hosts(ranks):
    def work():
        hvd.init()
        seen = []
        sampler = hvd.elastic.ElasticSampler(range(8), shuffle=False)
        state = hvd.elastic.TorchState(batch=10 * hvd.rank(), sampler=sampler)
        state.register_reset_callbacks([lambda: seen.append(("reset", state.batch))])

        @hvd.elastic.run
        def train(state, last, step=1):
            seen.append(("start", state.batch, len(state.sampler)))
            while state.batch < last:
                state.batch += step
                state.sampler.record_batch(state.batch, 1)
                # Rank 1's news alone stop nobody.
                if state.batch == 1 + (1 - hvd.rank()):
                    change = HostUpdateResult.added if hvd.rank() == 0 else HostUpdateResult.removed
                    state.on_hosts_updated(state.batch, change)
                state.commit()
            return state.batch, hvd.size()

        return train(state, 3, step=1), seen

    first, second = ranks(2, work)
    assert first == second
    result, seen = first
    assert result == (3, 2)
    # The batches that were done stay done, and the rest is dealt out anew.
    assert seen == [("start", 0, 4), ("reset", 2), ("start", 2, 2)]


def test_removed_hosts_alone_need_no_exchange(ranks):
    def work():
        hvd.init()
        state = hvd.elastic.TorchState(own=0)
        runs = []

        @hvd.elastic.run
        def train(state):
            runs.append(state.own)
            if len(runs) == 1:
                state.own = hvd.rank() + 5
                state.on_hosts_updated(1, HostUpdateResult.removed)
                state.commit()
            return state.own

        return train(state)

    assert ranks(2, work) == [5, 6]


def test_a_failed_collective_restores_the_commit_and_says_that_the_run_ends(ranks):
    def work():
        hvd.init()
        net = torch.nn.Linear(1, 1, bias=False)
        state = hvd.elastic.TorchState(net, batch=0)

        @hvd.elastic.run
        def train(state):
            with torch.no_grad():
                net.weight.fill_(2.0)
            state.batch = 1
            state.commit()
            with torch.no_grad():
                net.weight.fill_(9.0)
            state.batch = 2
            hvd.allreduce(torch.ones(2 + hvd.rank()), name="uneven")

        try:
            train(state)
        except hvd.HorovodInternalError as error:
            cause = isinstance(error.__cause__, hvd.HorovodInternalError)
            return str(error), cause, net.weight.item(), state.batch

    for message, has_cause, weight, number in ranks(2, work):
        assert message.startswith("[elastic] ")
        assert "uneven" in message
        assert "Ranks cannot be replaced yet" in message
        assert has_cause
        assert (weight, number) == (2.0, 1)


def test_a_rank_that_does_not_come_to_a_commit_is_told_by_what_it_missed(ranks):
    def work():
        hvd.init()
        state = hvd.elastic.TorchState()
        if hvd.rank() == 1:
            return None
        try:
            state.commit()
        except hvd.HorovodInternalError as error:
            return str(error)

    told, _ = ranks(2, work)
    assert "[barrier] 'state.commit()'" in told
    assert "rank 1" in told


@pytest.mark.parametrize(("state", "kind"), [(5, "an int"), (None, "None"), (State, "the class S")])
def test_what_is_no_state_is_told_before_anything_is_done(state, kind):
    @hvd.elastic.run
    def train(_):
        pytest.fail("it began")

    with pytest.raises(
        ValueError, match=rf"^\[elastic\] {kind}.* was given; a state is expected\."
    ):
        train(state)


def test_other_errors_and_results_pass_through(ranks):
    def work():
        hvd.init()

        @hvd.elastic.run
        def train(_, result):
            """Train."""
            if result is None:
                raise KeyError("mine")
            return result

        state = hvd.elastic.TorchState()
        try:
            train(state, None)
        except KeyError as error:
            return train(state, 4), train.__name__, train.__doc__, str(error)

    assert ranks(1, work) == [(4, "train", "Train.", "'mine'")]


@pytest.mark.parametrize("method", ["save", "restore", "sync"])
def test_a_state_of_ones_own_says_what_it_lacks(method):
    class Mine(State):
        pass

    for lacking in (Mine(lambda obj: obj, lambda: 0), StateHandler(None)):
        name = type(lacking).__name__
        with pytest.raises(NotImplementedError, match=rf"{name}\.{method} is missing"):
            getattr(lacking, method)()


def test_older_news_than_what_was_acted_on_are_ignored():
    state = ObjectState(lambda obj: obj, lambda: 0, value=torch.ones(1))
    state.on_hosts_updated(5, HostUpdateResult.removed)
    state.on_hosts_updated(6, HostUpdateResult.added)
    with pytest.raises(HostsUpdatedInterrupt) as told:
        state.commit()
    assert not told.value.skip_sync
    state.on_hosts_updated(6, HostUpdateResult.removed)
    state.commit()
    state.on_hosts_updated(7, HostUpdateResult.removed)
    with pytest.raises(HostsUpdatedInterrupt) as told:
        state.check_host_updates()
    assert told.value.skip_sync
