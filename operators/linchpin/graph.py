"""Graph: a tree whose every name and kind is checked, in an order in which it can be computed."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

from operators.linchpin import transforms
from operators.linchpin.columns import Kind, Shape
from operators.linchpin.errors import At, Fault, SpecError, nearest
from operators.linchpin.parameters import ReadFile, no_files, parameters_of
from operators.linchpin.parser import read
from operators.linchpin.transform import REGISTRY, Transform
from operators.linchpin.tree import Input, Name, Node, Output, Tree

assert transforms  # importing them registers the words that ship


#: Names of a circle that are told.
_SHOWN = 6


@dataclass(frozen=True, slots=True)
class Step:
    """A node that can be computed."""

    name: str
    transform: Transform
    inputs: tuple[str, ...]
    parameters: Mapping[str, Any]
    shape: Shape
    at: At


@dataclass(frozen=True)
class Graph:
    """Sources, interior nodes and sinks. ``steps`` are in an order in which each comes after what it needs."""

    inputs: Mapping[str, Shape]
    steps: tuple[Step, ...]
    outputs: tuple[str, ...]
    tree: Tree
    #: Of the text, without its form, and of the files that it names.
    version: str

    @property
    def shapes(self) -> dict[str, Shape]:
        """What every input and node is."""
        return {**self.inputs, **{step.name: step.shape for step in self.steps}}

    def labels(self, output: str) -> tuple[str, ...]:
        """What each number of a row of an output is called."""
        return self.shapes[output].named(output)

    def pruned(self, outputs: Iterable[str] | None = None) -> Graph:
        """What these outputs (all, when left out) need, and nothing else.

        Raises:
            KeyError: a name that is no output.
        """
        wanted = self.outputs if outputs is None else tuple(outputs)
        for name in wanted:
            if name not in self.outputs:
                raise KeyError(f"the spec has no output {name}{nearest(name, self.outputs)}")
        needed = set(wanted)
        for step in reversed(self.steps):
            if step.name in needed:
                needed.update(step.inputs)
        inputs = {name: shape for name, shape in self.inputs.items() if name in needed}
        steps = tuple(step for step in self.steps if step.name in needed)
        return replace(self, inputs=inputs, steps=steps, outputs=wanted)


def check_inputs(graph: Graph, offered: Mapping[str, Shape]) -> None:
    """Whether somebody who has the columns ``offered`` can run a (pruned) graph.

    Raises:
        SpecError: inputs that are not offered, or are of another kind.
    """
    faults: list[Fault] = []
    for each in graph.tree.statements:
        if isinstance(each, Input) and (name := each.name.text) in graph.inputs:
            wanted, has = graph.inputs[name], offered.get(name)
            if has is None:
                hint = nearest(name, offered) or f": there are {', '.join(offered)}"
                faults.append(Fault(each.name.at, f"nobody fills the input {name}{hint}"))
            elif (has.kind, has.width) != (wanted.kind, wanted.width):
                faults.append(Fault(each.kind.at, f"{name} is {has}, not {wanted}"))
    if faults:
        raise SpecError(faults)


def graph_of(text: str, read_file: ReadFile = no_files) -> Graph:
    """The graph of a spec.

    Raises:
        SpecError: with every fault, of form and of meaning.
    """
    tree, faults, broken = read(text)
    digest = blake2b(digest_size=6)

    def reading(name: str) -> bytes:
        data = read_file(name)
        digest.update(data)
        return data

    check = _Check(tree, reading, faults, broken)
    graph = Graph(check.inputs, tuple(check.steps()), tuple(check.outputs()), tree, "")
    if faults:
        raise SpecError(faults)
    digest.update(str(tree).encode())
    return replace(graph, version=digest.hexdigest())


class _Check:
    """One pass over a tree; faults are added to the list."""

    def __init__(self, tree: Tree, read_file: ReadFile, faults: list[Fault], broken: set[str]) -> None:
        self._tree, self._read, self._faults, self._broken = tree, read_file, faults, broken
        self.inputs: dict[str, Shape] = {}
        self._nodes: dict[str, Node] = {}
        #: None where something is wrong with it, which is told once and not again by what needs it.
        self._shapes: dict[str, Shape | None] = dict.fromkeys(broken)
        first: dict[str, At] = {}
        for each in tree.statements:
            if isinstance(each, Output):
                continue
            name = each.name.text
            if name in first:
                self._fault(each.name, f"{name} is there already, in line {first[name].line}")
                continue
            first[name] = each.name.at
            if isinstance(each, Input):
                self._shapes[name] = shape = self._input(each)
                self.inputs[name] = shape or Shape(Kind.FLOAT)
            else:
                self._nodes[name] = each
        self._names = {*self.inputs, *self._nodes}

    def steps(self) -> list[Step]:
        """Nodes in order of computation; among those that could be next, the first of the text."""
        for node in self._nodes.values():
            for each in node.inputs:
                self._known(each)
        steps: list[Step] = []
        for name in _in_order(self._nodes, self._in_a_circle):
            step = None if name in self._shapes else self._step(self._nodes[name])
            self._shapes[name] = step and step.shape
            if step:
                steps.append(step)
        return steps

    def outputs(self) -> list[str]:
        """Names of the outputs, each of which exists."""
        names = [name for each in self._tree.statements if isinstance(each, Output) for name in each.names]
        if not names and not self._broken:
            self._faults.append(Fault(At(1, 1), "the spec has no output: end it with `output NAME`"))
        for number, name in enumerate(names):
            if self._known(name) and name.text in {each.text for each in names[:number]}:
                self._fault(name, f"{name.text} is an output already")
        return [name.text for name in names]

    def _input(self, given: Input) -> Shape | None:
        if given.kind.text not in list(Kind):
            kinds = ", ".join(Kind)
            self._fault(given.kind, f"unknown kind {given.kind.text}{nearest(given.kind.text, Kind) or ': ' + kinds}")
            return None
        kind = Kind(given.kind.text)
        if (kind is Kind.VECTOR) != bool(given.width):
            self._fault(given.kind, "a vector has a width, vector[8]" if not given.width else f"{kind} has no width")
            return None
        return Shape(kind, given.width or 1)

    def _known(self, name: Name) -> bool:
        known = name.text in self._names or name.text in self._broken
        if not known:
            self._fault(name, f"unknown input {name.text}{nearest(name.text, sorted(self._names))}")
        return known

    def _in_a_circle(self, names: list[str]) -> None:
        shown = names if len(names) <= _SHOWN else [*names[: _SHOWN - 2], "…", names[-1]]
        way = " → ".join([*shown, names[0]])
        self._fault(self._nodes[names[0]].name, f"{names[0]} needs itself: {way}")
        self._shapes.update(dict.fromkeys(names))

    def _step(self, node: Node) -> Step | None:
        found = REGISTRY.get(node.transform.text)
        if found is None:
            self._fault(
                node.transform, f"unknown transform {node.transform.text}{nearest(node.transform.text, REGISTRY)}"
            )
            return None
        before = len(self._faults)
        parameters = parameters_of(node, found, self._read, self._faults)
        shapes = self._inputs_of(node, found)
        if parameters is None or shapes is None or len(self._faults) > before:
            return None
        vector = None
        if found.shape is not None:
            try:
                vector = found.shape(shapes, parameters)
            except ValueError as wrong:
                self._fault(node.transform, f"{found.name}: {wrong}")
                return None
        if found.gives is None:
            shape = shapes[0]
            # A number that stays one is called after its node, a vector's numbers stay what they were.
            shape = shape if shape.kind is Kind.VECTOR else Shape(shape.kind)
        else:
            width, labels = vector or (1, ())
            shape = Shape(found.gives, width, labels)
        return Step(node.name.text, found, tuple(each.text for each in node.inputs), parameters, shape, node.name.at)

    def _inputs_of(self, node: Node, found: Transform) -> list[Shape] | None:
        wanted, given = len(found.inputs), len(node.inputs)
        if given < wanted or (given > wanted and not found.variadic):
            least = "at least " if found.variadic else ""
            signature = ", ".join(map(str, found.inputs))
            inputs = "input" if wanted == 1 else "inputs"
            self._fault(node.transform, f"{found.name} takes {least}{wanted} {inputs} ({signature}), found {given}")
            return None
        shapes: list[Shape] = []
        for number, each in enumerate(node.inputs):
            shape, accepted = self._shapes.get(each.text), found.inputs[min(number, wanted - 1)]
            if shape is None:
                continue
            if shape.kind not in accepted.kinds:
                self._fault(each, f"{found.name} takes {accepted}, but {each.text} is {shape}")
                continue
            shapes.append(Shape(shape.kind, shape.width, shape.named(each.text)))
        return shapes if len(shapes) == given else None

    def _fault(self, name: Name, message: str) -> None:
        self._faults.append(Fault(name.at, message))


def _in_order(nodes: Mapping[str, Node], in_a_circle: Callable[[list[str]], None]) -> Iterable[str]:
    """Names of nodes, each after those that it needs. A circle is told, and then its nodes count as done."""
    place = {name: number for number, name in enumerate(nodes)}
    waits = {name: {each.text for each in node.inputs if each.text in nodes} for name, node in nodes.items()}
    needed_by: dict[str, list[str]] = {name: [] for name in nodes}
    for name, needs in waits.items():
        for each in needs:
            needed_by[each].append(name)
    names = list(nodes)
    free = [place[name] for name, needs in waits.items() if not needs]
    done: set[str] = set()
    for start in [None, *names]:
        if start is not None:
            if start in done:
                continue
            in_a_circle(circle := _circle(waits, nodes, start))
            free.extend(place[name] for name in circle)
        heapq.heapify(free)
        while free:
            name = names[heapq.heappop(free)]
            if name in done:
                continue
            done.add(name)
            yield name
            for other in needed_by[name]:
                waits[other].discard(name)
                if not waits[other]:
                    heapq.heappush(free, place[other])


def _circle(waits: Mapping[str, set[str]], nodes: Mapping[str, Node], start: str) -> list[str]:
    """The circle that ``start`` waits for, from its first node of the text on."""
    way: dict[str, int] = {}
    name = start
    while name not in way:
        way[name] = len(way)
        name = next(each.text for each in nodes[name].inputs if each.text in waits[name])
    circle = list(way)[way[name] :]
    order = {each: number for number, each in enumerate(nodes)}
    first = circle.index(min(circle, key=order.__getitem__))
    return circle[first:] + circle[:first]
