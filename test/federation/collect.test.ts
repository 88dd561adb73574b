import type { FetchNode, PlanNode } from '@apollo/query-planner'
import { describe, expect, it } from 'vitest'
import { compilePlan } from '../../src/federation/compile.ts'
import { Explanations } from '../../src/federation/errors.ts'
import type { Json } from '../../src/federation/property.ts'

type Path = (string | number)[]

const rootFetch = (subgraph: string, operation: string): FetchNode => ({
  kind: 'Fetch',
  serviceName: subgraph,
  operation,
  operationName: undefined,
  operationKind: 'query' as FetchNode['operationKind'],
})

const entities = (subgraph: string, path: Path, type: string, selections: string): PlanNode => ({
  kind: 'Flatten',
  path,
  node: {
    ...rootFetch(
      subgraph,
      `query($representations:[_Any!]!){_entities(representations:$representations){${selections}}}`,
    ),
    requires: [
      {
        kind: 'InlineFragment',
        typeCondition: type,
        selections: ['__typename', 'id'].map((name) => ({ kind: 'Field' as const, name })),
      },
    ],
  },
})

/** Runs a plan; subgraphs are functions of the ids they are asked for. */
async function run(plan: PlanNode, subgraphs: Record<string, (ids: string[]) => Json[] | Json>) {
  const asked: Record<string, string[]> = {}
  const step = compilePlan(plan, {
    async send(subgraph, { variables }) {
      const ids = ((variables?.representations ?? []) as { id: string }[]).map(({ id }) => id)
      asked[subgraph] = ids
      const answer = subgraphs[subgraph]?.(ids) ?? null
      return { data: Array.isArray(answer) ? { _entities: answer } : answer }
    },
    maxRepresentations: () => 100,
    formatError: ({ message }) => ({ message }),
    possibleTypes: () => new Set(),
    isObject: () => true,
    realName: (name) => name,
  })
  const state = {
    data: {},
    errors: [],
    explanations: new Explanations(),
    variables: {},
    context: {},
    signal: undefined,
  }
  await step(state)
  expect(state.errors).toEqual([])
  // As a client would see it: walks leave marks.
  return { asked, data: JSON.parse(JSON.stringify(state.data)) }
}

const user = (id: string): Json => ({ __typename: 'User', id })

describe('entities', () => {
  it('that another fetch found are found again, and those behind them from there', async () => {
    const { asked, data } = await run(
      {
        kind: 'Sequence',
        nodes: [
          rootFetch('people', '{ users { __typename id } }'),
          entities('names', ['users', '@'], 'User', 'name'),
          entities('friends', ['users', '@'], 'User', 'friends { __typename id }'),
          entities('ages', ['users', '@', 'friends', '@'], 'User', 'age'),
        ],
      },
      {
        people: () => ({ users: [user('1'), null, user('2'), user('1')] as never }),
        names: (ids) => ids.map((id) => ({ name: `n${id}` })),
        friends: () => [{ friends: [user('7'), user('8')] }, { friends: [user('8')] }],
        ages: (ids) => ids.map((id) => ({ age: Number(id) })),
      },
    )
    expect(asked).toEqual({ people: [], names: ['1', '2'], friends: ['1', '2'], ages: ['7', '8'] })
    const [seven, eight] = ['7', '8'].map((id) => ({ ...user(id), age: Number(id) }))
    const one = { ...user('1'), name: 'n1', friends: [seven, eight] }
    expect(data).toEqual({ users: [one, null, { ...user('2'), name: 'n2', friends: [eight] }, one] })
  })

  it('that came after another fetch had looked at the same place are not overlooked', async () => {
    const friend = (ids: string[], whose: string): Json[] =>
      ids.map((id) => ({ friend: id === whose ? user(`friend of ${id}`) : null }))
    const friendsAt = (subgraph: string): PlanNode =>
      entities(subgraph, ['users', '@', 'friend'], 'User', 'name age')
    const { asked, data } = await run(
      {
        kind: 'Sequence',
        nodes: [
          rootFetch('people', '{ users { __typename id } }'),
          entities('first', ['users', '@'], 'User', 'friend { __typename id }'),
          friendsAt('names'),
          entities('second', ['users', '@'], 'User', 'friend { __typename id }'),
          friendsAt('ages'),
        ],
      },
      {
        people: () => ({ users: [user('1'), user('2')] as never }),
        first: (ids) => friend(ids, '1'),
        names: (ids) => ids.map(() => ({ name: 'a name' })),
        second: (ids) => friend(ids, '2'),
        ages: (ids) => ids.map(() => ({ age: 7 })),
      },
    )
    expect(asked.names).toEqual(['friend of 1'])
    expect(asked.ages).toEqual(['friend of 1', 'friend of 2'])
    expect(data).toEqual({
      users: [
        { ...user('1'), friend: { ...user('friend of 1'), name: 'a name', age: 7 } },
        { ...user('2'), friend: { ...user('friend of 2'), age: 7 } },
      ],
    })
  })
})
