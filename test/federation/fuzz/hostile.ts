/** Answers of subgraphs that are not what was asked for: as one that is broken, or not ours, may send them. */
import type { Dice } from './dice.ts'

type Json = Record<string, unknown>

const values: readonly unknown[] = [
  null,
  true,
  0,
  -0,
  1.5,
  1e300,
  99999999999,
  '',
  'x',
  'T0',
  [],
  [[]],
  [null],
  {},
  { __typename: 'T0' },
  { __typename: 'Nothing', id: 1 },
  { __typename: 7 },
  { a: { b: [{}] } },
]

const paths: readonly unknown[] = [
  [],
  ['x'],
  [0],
  [null],
  ['_entities'],
  ['_entities', 0],
  ['_entities', 99, 'f0'],
  ['_entities', -1],
  ['_entities', '0', 'f0'],
  ['_entities', 0.5],
  ['_entities', 0, 'f0', 3, 'x'],
  ['__proto__', 'x'],
  ['_entities', 0, '__proto__'],
  'path',
  {},
  5,
  null,
  [[]],
  [{}],
]

/** @param text A good answer. */
export function spoil(text: string, dice: Dice): string {
  if (dice.chance(0.25)) return spoilText(text, dice)
  const answer = JSON.parse(text) as Json
  if (dice.chance(0.7)) spoilData(answer, dice)
  if (dice.chance(0.3)) spoilErrors(answer, dice)
  return JSON.stringify(answer)
}

function spoilData(answer: Json, dice: Dice): void {
  const places: { holder: Json | unknown[]; key: string | number }[] = [{ holder: answer, key: 'data' }]
  const look = (value: unknown): void => {
    if (Array.isArray(value)) {
      value.forEach((item, key) => {
        places.push({ holder: value, key })
        look(item)
      })
    } else if (typeof value === 'object' && value !== null) {
      for (const [key, item] of Object.entries(value)) {
        places.push({ holder: value as Json, key })
        look(item)
      }
    }
  }
  look(answer.data)
  const { holder, key } = dice.pick(places)
  const there = (holder as Json)[key]
  switch (dice.below(7)) {
    case 0:
      if (Array.isArray(holder)) holder.splice(Number(key), 1)
      else delete holder[key]
      break
    case 1:
      if (Array.isArray(holder)) holder.push(there)
      else {
        // A key of its own of this name, which assigning would not make.
        Object.defineProperty(holder, dice.pick(['__proto__', 'constructor', 'extra', 'f0', 'id']), {
          value: dice.pick(values),
          enumerable: true,
          configurable: true,
          writable: true,
        })
      }
      break
    case 2:
      ;(holder as Json)[key] = [there]
      break
    case 3:
      ;(holder as Json)[key] = Array.isArray(there) ? there[0] : { there }
      break
    default:
      ;(holder as Json)[key] = dice.pick(values)
  }
}

function spoilErrors(answer: Json, dice: Dice): void {
  const error = (): unknown =>
    dice.pick([
      null,
      'text',
      {},
      { message: 5 },
      { message: 'went wrong', path: dice.pick(paths), extensions: dice.pick([null, 'x', { code: 7 }, []]) },
      { message: 'went wrong', path: dice.pick(paths), locations: 'here' },
    ])
  answer.errors = dice.pick<unknown>([[], [error()], [error(), error()], 'text', {}, null, 7])
  if (dice.chance(0.3)) delete answer.data
  if (dice.chance(0.3)) answer.extensions = dice.pick<unknown>([null, 'x', [], { reads: 1 }])
}

function spoilText(text: string, dice: Dice): string {
  const at = dice.below(text.length)
  switch (dice.below(9)) {
    case 0:
      return text.slice(0, at)
    case 1:
      return `${text}${dice.pick([' ', '}', 'x', '{}', '\n\n', '\u0000'])}`
    case 2:
      return JSON.stringify(JSON.parse(text), null, 2)
    case 3:
      return (
        text.slice(0, at) +
        dice.pick(['"', '\\', '{', '}', '[', ']', ',', '\u0000', 'ü', '1']) +
        text.slice(at + 1)
      )
    case 4:
      // The same key twice: the last one counts.
      return text.replace(/"(\w+)":/, (_, key) => `"${key}":${JSON.stringify(dice.pick(values))},"${key}":`)
    case 5:
      return text.replace(
        /"(\w)(\w*)":/g,
        (_, first, rest) => `"\\u00${first.charCodeAt(0).toString(16)}${rest}":`,
      )
    case 6:
      return text.replace(
        /:(\d+)/,
        () => `:${dice.pick(['1e999', '-1', '01', '1.0', '1E2', '-0', '+1', '.5', '1e'])}`,
      )
    case 7:
      return `${'['.repeat(500)}${']'.repeat(500)}`
    default:
      return text.replace(
        /:"[^"]*"/,
        () => `:"${dice.pick(['\\ud800', '\\x', '\\u12', 'tab\there', '\\/'])}"`,
      )
  }
}
