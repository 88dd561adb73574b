/** Documents are kept, so that they are parsed, validated and planned once, and not until the memory is full. */
import { buildSchema, type DocumentNode } from 'graphql'
import { expect, test } from 'vitest'
import { createPipeline } from '../../src/gateway/pipeline.ts'

const schema = buildSchema('type Query { name(of: String): String }')
const open = () =>
  createPipeline({ maxTokens: 10_000, maxDepth: 30, maxRootFields: 100, introspection: true })
const isKept = (pipeline: ReturnType<typeof open>, source: string, document: unknown) =>
  pipeline.prepare(schema, source) === (document as DocumentNode)

test('a document that was seen before is the same object', () => {
  const pipeline = open()
  const document = pipeline.prepare(schema, '{ name }')
  for (let at = 0; at < 998; at++) pipeline.prepare(schema, `{ name(of: "${at}") }`)
  expect(isKept(pipeline, '{ name }', document)).toBe(true)
})

test('long documents are let go long before there are a thousand of them', () => {
  const pipeline = open()
  const document = pipeline.prepare(schema, '{ name }')
  for (let at = 0; at < 11; at++) pipeline.prepare(schema, `{ name(of: "${at}${'x'.repeat(100_000)}") }`)
  expect(isKept(pipeline, '{ name }', document)).toBe(false)
})
