/** What a sender of CloudEvents asks before it sends. @see CloudEvents, HTTP 1.1 Web Hooks, section 4 */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { openTestGateway, type TestGateway } from '../e2e/kit.ts'

let gateway: TestGateway
beforeAll(async () => {
  gateway = await openTestGateway()
})
afterAll(() => gateway[Symbol.asyncDispose]())

const ask = (headers: Record<string, string>) =>
  fetch(`${gateway.url}/webhooks/erp`, { method: 'OPTIONS', headers })

it('a sender that names its origin is told that it may send, and how', async () => {
  const answer = await ask({
    'WebHook-Request-Origin': 'eventemitter.example.com',
    'WebHook-Request-Rate': '120',
    'WebHook-Request-Callback': 'http://127.0.0.1:9/confirm?token=x',
  })
  expect(answer.status).toBe(200)
  expect(answer.headers.get('webhook-allowed-origin')).toBe('eventemitter.example.com')
  expect(answer.headers.get('webhook-allowed-rate')).toBe('*')
  expect(answer.headers.get('allow')).toBe('POST')
})

it('who names none is granted nothing', async () => {
  const answer = await ask({})
  expect(answer.headers.get('webhook-allowed-origin')).toBeNull()
  expect(answer.headers.get('webhook-allowed-rate')).toBeNull()
})
