import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { codesOf, type Data, idOf, openTestGateway, READER, type Result, type TestGateway } from './kit.ts'

const WRITEBACK = 'writeback { id state attempts key reached problem { code vendorCode message line field } }'
const CREATE_ORDER = `mutation Create($input: CreateOrderInput!) { createOrder(input: $input) {
  ${WRITEBACK} order { id number status customerReference totals { gross { amount currency } tax { amount } } } } }`
const UPDATE_ORDER = `mutation Update($input: UpdateOrderInput!) { updateOrder(input: $input) {
  ${WRITEBACK} order { dueDate comments version } } }`
const CANCEL_ORDER = `mutation Cancel($input: CancelOrderInput!) { cancelOrder(input: $input) {
  ${WRITEBACK} order { status } } }`
const UPDATE_CUSTOMER = `mutation Change($input: UpdateCustomerInput!) { updateCustomer(input: $input) {
  ${WRITEBACK} customer { name level phone version contacts { name } } } }`
const CREATE_CUSTOMER = `mutation New($input: CreateCustomerInput!) { createCustomer(input: $input) {
  ${WRITEBACK} customer { id name level taxNumber contacts { name } externalIds { system key } } } }`
const CREATE_OPPORTUNITY = `mutation Chance($input: CreateOpportunityInput!) { createOpportunity(input: $input) {
  ${WRITEBACK} opportunity { id key stage amount { amount currency } customer { name } } } }`
const RECORD_PAYMENT = `mutation Pay($input: RecordPaymentInput!) { recordPayment(input: $input) {
  ${WRITEBACK} payment { number amount { amount currency } unapplied { amount }
    applications { amount { amount } invoice { number status open { amount } } } } } }`

const customer = (key: string) => idOf('customer', 'crm', key)
const product = (key: string) => idOf('product', 'erp', key)

/** Three linear guides for the Shanghai customer. */
const order = (idempotencyKey: string, changes: object = {}) => ({
  idempotencyKey,
  customerId: customer('70007'),
  dueDate: '2026-12-31',
  customerReference: `test ${idempotencyKey}`,
  lines: [{ productId: product('A00003'), quantity: '3' }],
  ...changes,
})

let gateway: TestGateway
beforeAll(async () => {
  gateway = await openTestGateway()
})
afterAll(() => gateway[Symbol.asyncDispose]())

const orders = () => gateway.demo.world.count('erpOrders')
const ask = (mutation: string, input: object, headers?: Record<string, string>): Promise<Result> =>
  gateway.ask(mutation, { input }, headers)
/** The payload of a mutation that is expected to be answered. */
const send = async (mutation: string, input: object): Promise<Data> =>
  Object.values(await gateway.data(mutation, { input }))[0]

describe('creating a customer', () => {
  const input = {
    name: '新客户 🏭',
    taxNumber: '91310001MANEW00001',
    level: 'PREMIUM',
    contacts: [{ name: '赵敏' }],
  }

  it('makes one in the system that is named, however often it is asked for', async () => {
    const asked = { idempotencyKey: 'customer-1', system: 'crm', ...input }
    const before = gateway.demo.world.count('crmCustomers')
    const first = await send(CREATE_CUSTOMER, asked)
    expect(first.writeback).toMatchObject({ state: 'CONFIRMED', attempts: 1, problem: null })
    const { key } = first.writeback
    expect(first.customer).toEqual({
      id: customer(key),
      ...input,
      externalIds: [{ system: 'crm', key }],
    })
    expect(gateway.demo.world.get('crmCustomers', key)).toMatchObject({ name: input.name, level: 'PREMIUM' })
    const again = await send(CREATE_CUSTOMER, asked)
    expect(again.writeback.id).toBe(first.writeback.id)
    expect(gateway.demo.world.count('crmCustomers')).toBe(before + 1)
  })

  it('asks where, if there are several places', async () => {
    const nowhere = await ask(CREATE_CUSTOMER, { idempotencyKey: 'customer-2', ...input })
    expect(codesOf(nowhere)).toEqual(['BAD_USER_INPUT'])
    expect(nowhere.errors?.[0]?.message).toContain('crm, erp')
    const blank = await ask(CREATE_CUSTOMER, {
      idempotencyKey: 'customer-3',
      system: 'crm',
      ...input,
      name: ' ',
    })
    expect(codesOf(blank)).toEqual(['BAD_USER_INPUT'])
  })

  it('tells what the ERP misses', async () => {
    const { level: _, ...plain } = input
    const { writeback } = await send(CREATE_CUSTOMER, {
      idempotencyKey: 'customer-4',
      system: 'erp',
      ...plain,
    })
    expect(writeback).toMatchObject({ state: 'REJECTED', problem: { code: 'UNSUPPORTED' } })
    const made = await send(CREATE_CUSTOMER, {
      idempotencyKey: 'customer-5',
      system: 'erp',
      ...plain,
      taxNumber: '91310001MANEW00002',
      code: 'C-E2E',
    })
    expect(made.writeback).toMatchObject({ state: 'CONFIRMED', key: 'C-E2E' })
    expect(made.customer).toMatchObject({ name: input.name, externalIds: [{ system: 'erp', key: 'C-E2E' }] })
  })
})

describe('creating an order', () => {
  it('puts it into the ERP and answers with what the ERP made of it', async () => {
    const before = orders()
    const { writeback, order: made } = await send(CREATE_ORDER, order('create-1'))
    expect(writeback).toEqual({
      id: expect.stringMatching(/^wb_/),
      state: 'CONFIRMED',
      attempts: 1,
      key: String(before + 1),
      reached: 'effective',
      problem: null,
    })
    // 3 × 356.50 and 13 % tax.
    expect(made).toEqual({
      id: idOf('order', 'erp', String(before + 1)),
      number: String(1000 + (before + 1) * 3),
      status: 'CONFIRMED',
      customerReference: 'test create-1',
      totals: { gross: { amount: '1208.54', currency: 'CNY' }, tax: { amount: '139.04' } },
    })
    expect(orders()).toBe(before + 1)
  })

  it('makes one order of the same mutation sent twice, and gives the same writeback', async () => {
    const before = orders()
    const first = await send(CREATE_ORDER, order('twice'))
    const second = await send(CREATE_ORDER, order('twice'))
    expect(second).toEqual(first)
    expect(orders()).toBe(before + 1)
  })

  it('makes one order of identical mutations at the same instant', async () => {
    const before = orders()
    const answers = await Promise.all(Array.from({ length: 5 }, () => send(CREATE_ORDER, order('instant'))))
    expect(new Set(answers.map(({ writeback }) => writeback.id)).size).toBe(1)
    for (const { writeback } of answers) expect(writeback).toMatchObject({ state: 'CONFIRMED', attempts: 1 })
    expect(orders()).toBe(before + 1)
  })

  it('takes the fields of the input in any order for the same input', async () => {
    const before = orders()
    await send(CREATE_ORDER, order('field-order'))
    const { lines, ...rest } = order('field-order')
    await send(CREATE_ORDER, { lines, ...Object.fromEntries(Object.entries(rest).reverse()) })
    expect(orders()).toBe(before + 1)
  })

  it('refuses a key that was used with another input, and says for which writeback', async () => {
    const { writeback } = await send(CREATE_ORDER, order('reused'))
    const before = orders()
    const refused = await ask(CREATE_ORDER, order('reused', { dueDate: '2027-01-01' }))
    expect(codesOf(refused)).toEqual(['IDEMPOTENCY_KEY_REUSED'])
    expect(refused.errors?.[0]?.message).toContain(writeback.id)
    expect(orders()).toBe(before)
  })

  it('lets another caller use the same key for an order of their own', async () => {
    await using own = await openTestGateway({
      override: (file) =>
        file.callers.push({ apiKey: 'key-of-another-writer', subject: 'lee', roles: ['writer'] }),
    })
    const before = own.demo.world.count('erpOrders')
    await own.data(CREATE_ORDER, { input: order('shared') })
    const other = await own.ask(
      CREATE_ORDER,
      { input: order('shared') },
      { authorization: 'Bearer key-of-another-writer' },
    )
    expect(other.data?.createOrder.writeback.state).toBe('CONFIRMED')
    expect(own.demo.world.count('erpOrders')).toBe(before + 2)
  })

  it('lets the same key stand for another mutation', async () => {
    await send(CREATE_ORDER, order('one-key-two-mutations'))
    const { writeback } = await send(UPDATE_ORDER, {
      idempotencyKey: 'one-key-two-mutations',
      id: idOf('order', 'erp', '3'),
      comments: 'call before delivery',
    })
    expect(writeback.state).toBe('CONFIRMED')
  })

  it('asks which account is meant where the customer has two', async () => {
    const before = orders()
    const input = order('which-account', { customerId: customer('70014') })
    const refused = await ask(CREATE_ORDER, input)
    expect(codesOf(refused)).toEqual(['BAD_USER_INPUT'])
    expect(refused.errors?.[0]?.message).toContain('erp C20002, erp C20002-USD')
    expect(orders()).toBe(before)

    const { order: made } = await send(CREATE_ORDER, { ...input, account: 'C20002-USD' })
    expect(made.totals.gross.currency).toBe('USD')
    expect(gateway.demo.world.all('erpOrders').at(-1)?.cardCode).toBe('C20002-USD')
  })

  it('says that a prospect has no account to order with', async () => {
    const refused = await ask(CREATE_ORDER, order('prospect', { customerId: customer('70035') }))
    expect(codesOf(refused)).toEqual(['BAD_USER_INPUT'])
    expect(refused.errors?.[0]?.message).toContain('no account in a system that takes orders')
  })

  it('tells the reason of the ERP, with its code, field and line', async () => {
    const before = orders()
    const { writeback, order: made } = await send(
      CREATE_ORDER,
      order('unknown-warehouse', {
        lines: [
          { productId: product('A00003'), quantity: '1' },
          { productId: product('A00001'), quantity: '1', warehouse: 'NOWHERE' },
        ],
      }),
    )
    expect(writeback).toMatchObject({
      state: 'REJECTED',
      attempts: 1,
      key: null,
      problem: {
        code: 'REJECTED',
        vendorCode: '-10',
        message: expect.stringContaining('Warehouse is unknown'),
        line: '2',
        field: 'WhsCode',
      },
    })
    expect(made).toBeNull()
    expect(orders()).toBe(before)
  })

  it('does not send a rejected write again under the same key', async () => {
    const input = order('rejected-twice', { currency: 'GBP' })
    const first = await send(CREATE_ORDER, input)
    gateway.demo.simulators.erp.clearCalls()
    expect(await send(CREATE_ORDER, input)).toEqual(first)
    expect(first.writeback.state).toBe('REJECTED')
    expect(gateway.demo.simulators.erp.calls.filter((call) => call.startsWith('POST'))).toEqual([])
  })
})

describe('changing and cancelling an order', () => {
  it('changes what was given and leaves the rest', async () => {
    const id = idOf('order', 'erp', '2')
    const { writeback, order: changed } = await send(UPDATE_ORDER, {
      idempotencyKey: 'move',
      id,
      dueDate: '2026-12-24',
    })
    expect(writeback.state).toBe('CONFIRMED')
    expect(changed.dueDate).toBe('2026-12-24')
    expect(gateway.demo.world.get('erpOrders', '2')).toMatchObject({
      dueDate: '2026-12-24',
      numAtCard: 'CG-2026-0608',
    })
  })

  it('refuses where somebody was faster, by the version that was read', async () => {
    const id = idOf('order', 'erp', '4')
    const { order: read } = await gateway.data('query O($id: ID!) { order(id: $id) { version } }', { id })
    await send(UPDATE_ORDER, { idempotencyKey: 'faster', id, comments: 'faster' })
    const { writeback } = await send(UPDATE_ORDER, {
      idempotencyKey: 'slower',
      id,
      expectedVersion: read.version,
      comments: 'slower',
    })
    expect(writeback).toMatchObject({ state: 'REJECTED', problem: { code: 'CONFLICT' } })
    expect(gateway.demo.world.get('erpOrders', '4')?.comments).toBe('faster')
  })

  it('cancels an order once', async () => {
    const { order: made } = await send(CREATE_ORDER, order('to-be-cancelled'))
    const input = { idempotencyKey: 'cancel', id: made.id }
    const first = await send(CANCEL_ORDER, input)
    expect(first).toMatchObject({
      writeback: { state: 'CONFIRMED', attempts: 1 },
      order: { status: 'CANCELLED' },
    })
    expect(await send(CANCEL_ORDER, input)).toEqual(first)
  })

  it('tells why a delivered order cannot be cancelled', async () => {
    const { writeback } = await send(CANCEL_ORDER, {
      idempotencyKey: 'too-late',
      id: idOf('order', 'erp', '1'),
    })
    expect(writeback).toMatchObject({
      state: 'REJECTED',
      problem: { code: 'REJECTED', vendorCode: '-5002', message: expect.stringContaining('closed') },
    })
  })

  it('answers an order that does not exist as not found', async () => {
    const { writeback } = await send(CANCEL_ORDER, {
      idempotencyKey: 'nothing',
      id: idOf('order', 'erp', '999999'),
    })
    expect(writeback).toMatchObject({ state: 'REJECTED', problem: { code: 'NOT_FOUND' } })
  })
})

describe('changing a customer', () => {
  it('changes the CRM, by any id that the customer has', async () => {
    const { writeback, customer: changed } = await send(UPDATE_CUSTOMER, {
      idempotencyKey: 'level',
      id: idOf('customer', 'erp', 'C20003'),
      level: 'VIP',
      contacts: [{ name: 'Ada', primary: true }],
    })
    expect(writeback).toMatchObject({ state: 'CONFIRMED', key: '70021' })
    expect(changed).toMatchObject({ level: 'VIP', contacts: [{ name: 'Ada' }] })
    expect(gateway.demo.world.get('crmCustomers', '70021')).toMatchObject({ level: 'VIP', revision: 2 })
  })

  it('changes it once where the same is sent twice', async () => {
    const input = { idempotencyKey: 'phone', id: customer('70028'), phone: '+81 45 000 0000' }
    const [first, second] = await Promise.all([send(UPDATE_CUSTOMER, input), send(UPDATE_CUSTOMER, input)])
    expect(second).toEqual(first)
    expect(gateway.demo.world.get('crmCustomers', '70028')?.revision).toBe(2)
  })

  it('refuses where somebody was faster', async () => {
    const id = customer('70014')
    await send(UPDATE_CUSTOMER, { idempotencyKey: 'v1', id, expectedVersion: '1', industry: 'Robotics' })
    const { writeback } = await send(UPDATE_CUSTOMER, {
      idempotencyKey: 'v1 again',
      id,
      expectedVersion: '1',
      industry: 'Mining',
    })
    expect(writeback).toMatchObject({ state: 'REJECTED', problem: { code: 'CONFLICT' } })
    expect(gateway.demo.world.get('crmCustomers', '70014')?.industry).toBe('Robotics')
  })

  it('needs something to change', async () => {
    const refused = await ask(UPDATE_CUSTOMER, { idempotencyKey: 'empty', id: customer('70007') })
    expect(codesOf(refused)).toEqual(['BAD_USER_INPUT'])
  })
})

describe('creating an opportunity', () => {
  it('makes one in the CRM, however often it is sent', async () => {
    const before = gateway.demo.world.count('crmOpportunities')
    const input = {
      idempotencyKey: 'chance',
      customerId: customer('70035'),
      name: '第二期 line',
      stage: 'PROPOSAL',
      amount: { amount: '125000.50', currency: 'CNY' },
      closeDate: '2027-03-31',
    }
    const first = await send(CREATE_OPPORTUNITY, input)
    expect(first).toMatchObject({
      writeback: { state: 'CONFIRMED' },
      opportunity: {
        stage: 'PROPOSAL',
        amount: { amount: '125000.50', currency: 'CNY' },
        customer: { name: '深圳云帆科技有限公司' },
      },
    })
    expect(await send(CREATE_OPPORTUNITY, input)).toEqual(first)
    expect(gateway.demo.world.count('crmOpportunities')).toBe(before + 1)
  })
})

describe('recording a payment', () => {
  const invoice = idOf('invoice', 'fin', 'INV-000001')
  const payment = (idempotencyKey: string, changes: object = {}) => ({
    idempotencyKey,
    customerId: customer('70007'),
    date: '2026-07-01',
    amount: { amount: '612.03', currency: 'CNY' },
    method: 'TRANSFER',
    reference: '第二笔 & <rest>',
    applications: [{ invoiceId: invoice, amount: '612.03' }],
    ...changes,
  })

  it('posts it in finance, applies it, and makes one of two', async () => {
    const before = gateway.demo.world.count('financePayments')
    const first = await send(RECORD_PAYMENT, payment('pay'))
    expect(first).toEqual({
      writeback: expect.objectContaining({ state: 'CONFIRMED', attempts: 1, reached: 'effective' }),
      payment: {
        number: expect.stringMatching(/^PAY-/),
        amount: { amount: '612.03', currency: 'CNY' },
        unapplied: { amount: '0.00' },
        applications: [
          {
            amount: { amount: '612.03' },
            invoice: { number: 'INV-000001', status: 'PARTIALLY_PAID', open: { amount: '2000.00' } },
          },
        ],
      },
    })
    expect((await send(RECORD_PAYMENT, payment('pay'))).writeback).toEqual(first.writeback)
    expect(gateway.demo.world.count('financePayments')).toBe(before + 1)
    expect(gateway.demo.world.all('financePayments').at(-1)?.reference).toBe('第二笔 & <rest>')
  })

  it('tells why finance refuses more than is open, with code and line', async () => {
    const before = gateway.demo.world.count('financePayments')
    const { writeback } = await send(
      RECORD_PAYMENT,
      payment('too-much', {
        amount: { amount: '999999', currency: 'CNY' },
        applications: [{ invoiceId: invoice, amount: '999999' }],
      }),
    )
    expect(writeback).toMatchObject({
      state: 'REJECTED',
      problem: {
        code: 'REJECTED',
        vendorCode: 'OVER_APPLIED',
        message: 'Invoice INV-000001 has 2000.00 CNY open',
        line: '1',
        field: 'InvoiceNo',
      },
    })
    expect(gateway.demo.world.count('financePayments')).toBe(before)
  })

  it('refuses amounts that are not more than zero, before anything is journaled', async () => {
    for (const amount of ['0', '0.00', '-5']) {
      const refused = await ask(
        RECORD_PAYMENT,
        payment(`zero ${amount}`, { amount: { amount, currency: 'CNY' } }),
      )
      expect(codesOf(refused)).toEqual(['BAD_USER_INPUT'])
      const { writeback } = await gateway.data(
        'query W($key: ID!) { writeback(idempotencyKey: $key) { id } }',
        {
          key: `zero ${amount}`,
        },
      )
      expect(writeback).toBeNull()
    }
  })
})

describe('the journal', () => {
  it('keeps every writeback with its history, newest first', async () => {
    const { writeback } = await send(CREATE_ORDER, order('journal'))
    const found = await gateway.data(
      `query J($id: ID!, $key: ID!) {
        byId: writeback(id: $id) { id idempotencyKey record action system { id } externalReference
          history { state note } }
        byKey: writeback(idempotencyKey: $key) { id }
        writebacks(first: 1, system: "erp") { nodes { id } pageInfo { hasNextPage } }
      }`,
      { id: writeback.id, key: 'journal' },
    )
    expect(found).toEqual({
      byId: {
        id: writeback.id,
        idempotencyKey: 'journal',
        record: 'order',
        action: 'create',
        system: { id: 'erp' },
        externalReference: expect.stringMatching(/^[0-9a-f]{32}$/),
        history: [
          { state: 'ACCEPTED', note: null },
          { state: 'SENDING', note: null },
          { state: 'CONFIRMED', note: `key ${writeback.key}` },
        ],
      },
      byKey: { id: writeback.id },
      writebacks: { nodes: [{ id: writeback.id }], pageInfo: { hasNextPage: true } },
    })
    const made = gateway.demo.world.get('erpOrders', writeback.key)
    expect(made?.userFields.U_TributaryRef).toBe(found.byId.externalReference)
  })

  it('lists by state, page by page', async () => {
    const page = (after: string | null) =>
      gateway.data(
        `query R($after: String) { writebacks(first: 2, state: REJECTED, after: $after) {
          nodes { id state } pageInfo { hasNextPage endCursor } } }`,
        { after },
      )
    const seen: string[] = []
    for (let after: string | null = null, more = true; more; ) {
      const { writebacks } = await page(after)
      for (const { id, state } of writebacks.nodes) {
        expect(state).toBe('REJECTED')
        seen.push(id)
      }
      after = writebacks.pageInfo.endCursor
      more = writebacks.pageInfo.hasNextPage
    }
    expect(seen.length).toBeGreaterThan(2)
    expect(new Set(seen).size).toBe(seen.length)
  })

  it('shows nothing to another tenant', async () => {
    await using own = await openTestGateway({
      override: (file) =>
        file.callers.push({ apiKey: 'key-of-a-stranger-1', subject: 'eve', tenant: 'other' }),
    })
    const { createOrder } = await own.data(CREATE_ORDER, { input: order('private') })
    const { data } = await own.ask(
      'query W($id: ID!) { writeback(id: $id) { id } writebacks { nodes { id } } }',
      { id: createOrder.writeback.id },
      { 'x-api-key': 'key-of-a-stranger-1' },
    )
    expect(data).toEqual({ writeback: null, writebacks: { nodes: [] } })
  })
})

describe('who may write, and where', () => {
  it('refuses a caller who may only read, and journals nothing', async () => {
    const before = orders()
    const refused = await ask(CREATE_ORDER, order('reader'), READER)
    expect(codesOf(refused)).toEqual(['FORBIDDEN'])
    expect(refused.errors?.[0]?.message).toContain('"writer"')
    const { data } = await gateway.ask(
      '{ writeback(idempotencyKey: "reader") { id } customer(externalId: { system: "crm", key: "70007" }) { name } }',
      {},
      READER,
    )
    expect(data).toEqual({ writeback: null, customer: { name: '上海晨光精密机械有限公司' } })
    expect(orders()).toBe(before)
  })

  it('refuses a key that is not configured', async () => {
    const answer = await gateway.post(
      { query: '{ systems { id } }' },
      { headers: { 'x-api-key': 'guessed' } },
    )
    expect(answer.status).toBe(401)
    expect(codesOf(answer.body)).toEqual(['UNAUTHENTICATED'])
  })

  it('sends nothing where writes are off, or where only other actions are on', async () => {
    await using own = await openTestGateway({
      override: ({ systems }) => {
        Object.assign(systems.crm as object, { writes: 'off' })
        Object.assign(systems.erp as object, { writes: { 'order.create': 'on' } })
      },
    })
    const off = await own.ask(UPDATE_CUSTOMER, {
      input: { idempotencyKey: 'off', id: customer('70007'), level: 'BASIC' },
    })
    expect(codesOf(off)).toEqual(['WRITES_OFF'])
    expect(off.errors?.[0]).toMatchObject({
      message: expect.stringContaining('customer.update'),
      extensions: { system: 'crm' },
    })
    const cancel = await own.ask(CANCEL_ORDER, {
      input: { idempotencyKey: 'c', id: idOf('order', 'erp', '3') },
    })
    expect(codesOf(cancel)).toEqual(['WRITES_OFF'])
    const create = await own.data(CREATE_ORDER, { input: order('on') })
    expect(create.createOrder.writeback.state).toBe('CONFIRMED')
    expect(own.demo.world.get('crmCustomers', '70007')?.level).toBe('VIP')
    expect(own.demo.world.get('erpOrders', '3')?.cancelled).toBe(false)
  })

  it('shows what it would send where writes are a dry run', async () => {
    await using own = await openTestGateway({
      override: ({ systems }) => Object.assign(systems.erp as object, { writes: 'dryRun' }),
    })
    const before = own.demo.world.count('erpOrders')
    const { createOrder } = await own.data(
      `mutation Dry($input: CreateOrderInput!) { createOrder(input: $input) {
        writeback { state attempts preview } order { id } } }`,
      { input: order('dry') },
    )
    expect(createOrder).toMatchObject({ writeback: { state: 'DRY_RUN', attempts: 0 }, order: null })
    const { method, path, body } = JSON.parse(createOrder.writeback.preview)
    expect({ method, path }).toEqual({ method: 'POST', path: '/b1s/v2/Orders' })
    expect(JSON.parse(body)).toMatchObject({ CardCode: 'C20001', DocDueDate: '2026-12-31' })
    expect(own.demo.world.count('erpOrders')).toBe(before)
  })
})

describe('a write whose answer is lost', () => {
  it('is found, and not sent again', async () => {
    await using own = await openTestGateway({
      override: ({ systems }) => {
        for (const system of Object.values(systems))
          Object.assign(system, { commitDelay: '100ms', timeout: '1s' })
      },
    })
    const { erp, crm, fin } = own.demo.simulators
    const { world } = own.demo
    const count = () => [
      world.count('erpOrders'),
      world.count('crmOpportunities'),
      world.count('financePayments'),
    ]
    const before = count()
    erp.setFaults([{ kind: 'drop-after', match: 'POST /b1s/v2/Orders', times: 1 }])
    crm.setFaults([{ kind: 'truncate', match: 'POST /api/opportunities', times: 1 }])
    const [made, chance] = await Promise.all([
      own.data(CREATE_ORDER, { input: order('lost') }),
      own.data(CREATE_OPPORTUNITY, {
        input: { idempotencyKey: 'lost', customerId: customer('70007'), name: 'lost' },
      }),
    ])
    // Finance sends everything to one path; the payment is the only call under way.
    fin.setFaults([{ kind: 'drop-after', times: 1 }])
    const paid = await own.data(RECORD_PAYMENT, {
      input: {
        idempotencyKey: 'lost',
        customerId: customer('70007'),
        date: '2026-07-01',
        amount: { amount: '1', currency: 'CNY' },
      },
    })
    for (const { writeback } of [made.createOrder, chance.createOpportunity, paid.recordPayment])
      expect(writeback).toMatchObject({ state: 'CONFIRMED', attempts: 1 })
    expect(count()).toEqual(before.map((number) => number + 1))
  })

  it('is sent again once it is sure that the system does not have it', async () => {
    await using own = await openTestGateway({
      override: ({ systems }) =>
        Object.assign(systems.erp as object, { commitDelay: '100ms', timeout: '1s' }),
    })
    const before = own.demo.world.count('erpOrders')
    own.demo.simulators.erp.setFaults([{ kind: 'drop-before', match: 'POST /b1s/v2/Orders', times: 1 }])
    const { createOrder } = await own.data(
      `mutation Again($input: CreateOrderInput!) { createOrder(input: $input) {
        writeback { state attempts history { state } } } }`,
      { input: order('lost before') },
    )
    expect(createOrder.writeback).toMatchObject({ state: 'CONFIRMED', attempts: 2 })
    expect(createOrder.writeback.history.map(({ state }: { state: string }) => state)).toEqual([
      'ACCEPTED',
      'SENDING',
      'UNKNOWN',
      'UNKNOWN',
      'ACCEPTED',
      'SENDING',
      'CONFIRMED',
    ])
    expect(own.demo.world.count('erpOrders')).toBe(before + 1)
  })

  it('that waits for approval over there is said to wait, even when the answer was lost', async () => {
    await using own = await openTestGateway({ erp: { approvalAbove: '1000' } })
    const direct = await own.data(CREATE_ORDER.replace('attempts', 'attempts note'), {
      input: order('approve'),
    })
    expect(direct.createOrder).toMatchObject({
      // What it waits for, in the system's words.
      writeback: { state: 'AWAITING_APPROVAL', attempts: 1, note: expect.stringMatching(/\S/) },
      order: null,
    })
    own.demo.simulators.erp.setFaults([{ kind: 'drop-after', match: 'POST /b1s/v2/Orders', times: 1 }])
    const lost = await own.data(CREATE_ORDER, { input: order('approve, lost') })
    expect(lost.createOrder.writeback).toMatchObject({ state: 'AWAITING_APPROVAL', attempts: 1 })
    expect(own.demo.world.all('erpOrders').filter((one) => one.numAtCard?.startsWith('test'))).toEqual([])
  })
})
