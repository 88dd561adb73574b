/**
 * Every kind against its simulator; or, with TRIBUTARY_CONTRACT naming a configuration file, the real systems in it
 * (README.md beside this file).
 */
import { describe, expect, test } from 'vitest'
import { kinds } from '../../src/systems/kinds.ts'
import { contract } from './contract.ts'
import { describeRealSystems } from './real.ts'
import { subjects } from './subjects/index.ts'

const file = process.env.TRIBUTARY_CONTRACT

if (file) {
  await describeRealSystems(file)
} else {
  test('every kind is held to the contract', () => {
    expect(Object.keys(kinds).filter((kind) => !subjects[kind])).toEqual([])
    expect(Object.keys(subjects).filter((kind) => !kinds[kind])).toEqual([])
  })

  for (const [kind, subject] of Object.entries(subjects)) {
    describe(kind, () => contract(kind, subject))
  }
}
