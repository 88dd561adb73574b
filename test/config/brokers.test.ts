import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { ConfigError, checkConfig } from '../../src/config/load.ts'

const PAGE = new URL('../../src/events/brokers/README.md', import.meta.url)
const SECRETS = { NATS_PASSWORD: 'nats', MQ_SECRET: 'mq', WMS_SECRET: 'the secret of the warehouse' }

/** A configuration with what is given about brokers. */
const withBrokers = (more: object) => ({
  callers: [{ apiKey: 'a key of sixteen characters', subject: 'portal' }],
  systems: {
    erp: {
      kind: 'sap-b1',
      environment: 'test',
      baseUrl: 'https://b1.example:50000',
      companyDb: 'SBODEMO',
      username: 'manager',
      password: 'secret',
    },
  },
  ...more,
})

async function problemsOf(more: object): Promise<string[]> {
  try {
    await checkConfig(withBrokers(more), {}, 'test')
    return []
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.problems.map(({ path, message, hint }) => `${path}: ${message}${hint ? ` — ${hint}` : ''}`)
  }
}

describe('brokers in a configuration', () => {
  it('may be written as the page about them shows', async () => {
    const [, sample = ''] = /```yaml\n([\s\S]*?)```/.exec(readFileSync(PAGE, 'utf8')) ?? []
    const config = await checkConfig(withBrokers(parse(sample)), SECRETS, 'the page')
    expect(config.brokers.bus).toMatchObject({ kind: 'nats', password: 'nats' })
    expect(config.brokers.mq).toMatchObject({ kind: 'rocketmq', secretKey: 'mq', tls: false, namespace: '' })
    expect(config.feeds.orders).toMatchObject({ system: 'erp', attempts: 15 })
    expect(config.sinks.downstream).toMatchObject({ events: ['*'], from: 'now' })
  })

  it('are needed by name, as systems are', async () => {
    const bus = { kind: 'nats', servers: ['nats://127.0.0.1:4222'] }
    expect(
      await problemsOf({
        brokers: { bus },
        feeds: { orders: { broker: 'buss', topic: 'orders', system: 'oms' } },
        sinks: { bi: { broker: 'mq', topic: 'events' } },
      }),
    ).toEqual([
      'feeds.orders.broker: names no broker: "buss" — Known here: bus.',
      'feeds.orders.system: names no system: "oms" — Known here: erp.',
      'sinks.bi.broker: names no broker: "mq" — Known here: bus.',
    ])
  })

  it('are told what is wrong with their addresses, and no secret is repeated', async () => {
    const problems = await problemsOf({
      brokers: {
        bus: { kind: 'nats', servers: ['http://user:hidden-word@nats'] },
        mq: { kind: 'rocketmq', endpoints: 'http://proxy', secretKey: '' },
      },
    })
    expect(problems).toEqual([
      'brokers.bus.servers.0: is an address such as nats://host:4222',
      'brokers.mq.endpoints: is host:port, several of them divided by ";"',
      expect.stringMatching(/^brokers\.mq\.secretKey: /),
    ])
    expect(problems.join()).not.toContain('hidden-word')
  })
})
