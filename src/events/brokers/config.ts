/** The parts of the configuration that name brokers, and what comes from them and goes to them. */
import { z } from 'zod'
import { notifySchema } from '../webhooks.ts'

const secret = (what: string) => z.string().min(1).meta({ secret: true }).describe(what)

export const brokerSchema = z
  .discriminatedUnion('kind', [
    z.strictObject({
      kind: z.literal('nats').describe('NATS JetStream, server 2.9 or newer'),
      servers: z
        .array(z.string().regex(/^(nats|tls):\/\/[^/@\s]+$/, 'is an address such as nats://host:4222'))
        .min(1)
        .describe('One or more servers of one cluster'),
      user: z.string().min(1).optional().describe('User, where the server asks for one'),
      password: secret('Its password').optional(),
      token: secret('A token instead of user and password').optional(),
      credentials: secret('The text of a .creds file instead').optional(),
      ca: z.string().min(1).optional().describe('File with the certificate authority, for tls://'),
    }),
    z.strictObject({
      kind: z.literal('rocketmq').describe('RocketMQ 5, spoken to through its gRPC proxy'),
      endpoints: z
        .string()
        .regex(/^[^\s;/]+:\d+(;[^\s;/]+:\d+)*$/, 'is host:port, several of them divided by ";"')
        .describe('Addresses of the proxy, usually port 8081; not those of the name server'),
      accessKey: z.string().min(1).optional().describe('Where the cluster checks who is asking'),
      secretKey: secret('Belongs to accessKey').optional(),
      namespace: z.string().default('').describe('Of topics and groups, where the cluster has several'),
      tls: z.boolean().default(false).describe('Whether the proxy speaks TLS'),
    }),
  ])
  .describe('A message broker')

export const feedSchema = z.strictObject({
  broker: z.string().describe('Which of brokers'),
  topic: z.string().min(1).describe('Topic, or subject of a stream (wildcards allowed); it must be there'),
  group: z
    .string()
    .regex(/^[\w-]{1,100}$/, 'has letters, digits, "_" and "-" only')
    .optional()
    .describe(
      'Consumer group, or durable consumer: gateways that share it share the work; default: tributary-NAME',
    ),
  system: z.string().describe('The system whose records the messages tell of'),
  signature: notifySchema
    .optional()
    .describe('Refuse messages that are not signed so; headers are properties'),
  attempts: z
    .int()
    .min(1)
    .max(1_000)
    .default(15)
    .describe('A message that could not be taken so often is parked; RocketMQ gives up by itself after 16'),
})

export const sinkSchema = z.strictObject({
  broker: z.string().describe('Which of brokers'),
  topic: z
    .string()
    .regex(/^[\w.-]+$/, 'has letters, digits, ".", "_" and "-" only')
    .describe(
      'FIFO topic of RocketMQ, or subject of JetStream, under which the event type is added; it must be there',
    ),
  events: z
    .array(z.string().regex(/^(\*|[a-z]+(\.[a-z-]+)*(\.\*)?)$/, 'is an event type, "order.*" or "*"'))
    .min(1)
    .default(['*'])
    .describe('Which events, of all systems and tenants'),
  from: z
    .enum(['now', 'beginning'])
    .default('now')
    .describe('Where the first start begins: with what comes, or with all that the log has'),
})

export type BrokerSettings = z.infer<typeof brokerSchema>
export type NatsSettings = Extract<BrokerSettings, { kind: 'nats' }>
export type RocketMqSettings = Extract<BrokerSettings, { kind: 'rocketmq' }>
export type FeedSettings = z.infer<typeof feedSchema>
export type SinkSettings = z.infer<typeof sinkSchema>
