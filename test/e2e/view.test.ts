import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { idOf, openTestGateway, type TestGateway } from './kit.ts'

let gateway: TestGateway
beforeAll(async () => {
  gateway = await openTestGateway()
})
afterAll(() => gateway[Symbol.asyncDispose]())

const customer = async (key: string, fields: string) =>
  (
    await gateway.data(
      `query View($key: String!) { customer(externalId: { system: "crm", key: $key }) { ${fields} } }`,
      { key },
    )
  ).customer

describe('one customer in one query', () => {
  it('brings the profile from the CRM', async () => {
    const profile = await customer(
      '70007',
      `id name level vendorLevel industry taxNumber phone email version createdAt updatedAt system { id }
       contacts { name title phone email primary }
       addresses { type street city province postalCode country }
       externalIds { system key }
       opportunities { key name stage vendorStage amount { amount currency } probability closeDate owner }`,
    )
    expect(profile).toEqual({
      id: idOf('customer', 'crm', '70007'),
      name: '上海晨光精密机械有限公司',
      level: 'VIP',
      vendorLevel: 'VIP',
      industry: '机械制造',
      taxNumber: '91310001MA1K007919',
      phone: '+86 21 5550 0001',
      email: 'info@chenguang-jm.example',
      version: '1',
      createdAt: '2024-11-08T09:00:00.000Z',
      updatedAt: '2026-03-31T09:00:00.000Z',
      system: { id: 'crm' },
      contacts: [
        {
          name: '王芳',
          title: '采购总监',
          phone: '+86 21 5550 0001',
          email: 'contact1@chenguang-jm.example',
          primary: true,
        },
        {
          name: '李强',
          title: '财务经理',
          phone: '+86 21 5550 0001',
          email: 'contact2@chenguang-jm.example',
          primary: false,
        },
      ],
      addresses: [
        {
          type: 'OFFICE',
          street: '浦东新区张江路 88 号',
          city: '上海',
          province: '上海市',
          postalCode: '201203',
          country: 'CN',
        },
      ],
      externalIds: [
        { system: 'crm', key: '70007' },
        { system: 'erp', key: 'C20001' },
        { system: 'fin', key: 'D-00003' },
      ],
      opportunities: [
        {
          key: 'OP-00001',
          name: '上海晨光精密机械有限公司 年度框架',
          stage: 'NEGOTIATION',
          vendorStage: 'NEGOTIATION',
          amount: { amount: '1000.50', currency: 'CNY' },
          probability: '75',
          closeDate: '2026-07-31',
          owner: 'zhang.wei',
        },
      ],
    })
  })

  it('brings accounts and orders from the ERP, newest first, with status, totals and lines', async () => {
    const { accounts, orders } = await customer(
      '70007',
      `accounts { system { id } key company currency creditLimit { amount currency } paymentTerms blocked }
       orders(first: 3) {
         number key status fulfilmentStatus orderDate dueDate customerReference
         totals { gross { amount currency } tax { amount } }
         lines { id lineNumber sku ordered { value vendorUnit } delivered { value } open { value }
                 discountPercent net { amount } status product { name } }
       }`,
    )
    expect(accounts).toEqual([
      {
        system: { id: 'erp' },
        key: 'C20001',
        company: 'SBODEMO_CN',
        currency: 'CNY',
        creditLimit: { amount: '105000', currency: 'CNY' },
        paymentTerms: '月结 30 天',
        blocked: false,
      },
    ])
    expect(orders.map((order: { number: string }) => order.number)).toEqual(['1009', '1006', '1003'])
    const [placed, half, done] = orders
    expect(placed).toMatchObject({ status: 'CONFIRMED', fulfilmentStatus: 'NONE', customerReference: null })
    expect(half).toMatchObject({ status: 'IN_PROGRESS', fulfilmentStatus: 'PARTIAL' })
    expect(done).toEqual({
      number: '1003',
      key: '1',
      status: 'DELIVERED',
      fulfilmentStatus: 'COMPLETE',
      orderDate: '2026-05-11',
      dueDate: '2026-05-25',
      customerReference: 'CG-2026-0511',
      // The sum of the lines is 3196.49 net; the document was rounded once, from exact values.
      totals: { gross: { amount: '3612.03', currency: 'CNY' }, tax: { amount: '415.54' } },
      lines: [
        {
          id: '0',
          lineNumber: '1',
          sku: 'A00001',
          ordered: { value: '100', vendorUnit: '个' },
          delivered: { value: '100' },
          open: { value: '0' },
          discountPercent: '0',
          net: { amount: '1280' },
          status: 'CLOSED',
          product: { name: '精密轴承 6204' },
        },
        {
          id: '1',
          lineNumber: '2',
          sku: 'A00004',
          ordered: { value: '33', vendorUnit: '个' },
          delivered: { value: '33' },
          open: { value: '0' },
          discountPercent: '0',
          net: { amount: '1595.06' },
          status: 'CLOSED',
          product: { name: '联轴器 D30' },
        },
        {
          id: '2',
          lineNumber: '3',
          sku: 'A00004',
          ordered: { value: '7', vendorUnit: '个' },
          delivered: { value: '7' },
          open: { value: '0' },
          discountPercent: '5',
          net: { amount: '321.43' },
          status: 'CLOSED',
          product: { name: '联轴器 D30' },
        },
      ],
    })
  })

  it('brings stock per warehouse, as the ERP counts it', async () => {
    const { orders } = await customer(
      '70007',
      `orders(first: 1) { lines { product {
         sku inventory { warehouse { key name } onHand { value } reserved { value } available { value }
                         incoming { value } } } } }`,
    )
    const level = (key: string, name: string, ...figures: string[]) => {
      const [onHand, reserved, available, incoming] = figures.map((value) => ({ value }))
      return { warehouse: { key, name }, onHand, reserved, available, incoming }
    }
    const sku = 'A00003'
    const reserved = gateway.demo.world.get('erpStock', `${sku}@01`)?.committed ?? ''
    const free = String(211 - Number(reserved))
    expect(orders[0].lines[0].product).toEqual({
      sku,
      inventory: [
        level('01', '上海总仓', '211', reserved, free, '39'),
        level('02', '深圳仓', '422', '12', '410', '0'),
        level('HAM', 'Hamburg', '633', '0', '633', '0'),
      ],
    })
  })

  it('brings invoices with paid and open amounts per order, and the balance, from finance', async () => {
    const { orders, balances, invoices } = await customer(
      '70007',
      `orders { number invoices { number type status issueDate dueDate customer { name } orders { number }
         totals { net { amount } tax { amount } gross { amount currency } }
         paid { amount } open { amount currency }
         payments { number date method reference amount { amount } unapplied { amount }
                    applications { amount { amount } invoice { number } } } } }
       balances { system { id } open { amount currency } overdue { amount } }
       invoices { number }`,
    )
    expect(orders.map((order: { number: string; invoices: unknown[] }) => order.invoices)).toEqual([
      [],
      [],
      [
        {
          number: 'INV-000001',
          type: 'STANDARD',
          status: 'PARTIALLY_PAID',
          issueDate: '2026-05-22',
          dueDate: '2026-06-21',
          customer: { name: '上海晨光精密机械有限公司' },
          orders: [{ number: '1003' }],
          totals: {
            net: { amount: '3196.49' },
            tax: { amount: '415.54' },
            gross: { amount: '3612.03', currency: 'CNY' },
          },
          paid: { amount: '1000.00' },
          open: { amount: '2612.03', currency: 'CNY' },
          payments: [
            {
              number: 'PAY-000001',
              date: '2026-06-01',
              method: 'TRANSFER',
              reference: '首付款',
              amount: { amount: '1000.00' },
              unapplied: { amount: '0.00' },
              applications: [{ amount: { amount: '1000.00' }, invoice: { number: 'INV-000001' } }],
            },
          ],
        },
      ],
    ])
    expect(balances).toEqual([
      { system: { id: 'fin' }, open: { amount: '2612.03', currency: 'CNY' }, overdue: { amount: '2612.03' } },
    ])
    expect(invoices).toEqual([{ number: 'INV-000001' }])
  })

  it('gives both accounts of a customer that buys in two currencies', async () => {
    const { accounts, orders, externalIds } = await customer(
      '70014',
      `externalIds { system key }
       accounts { key currency creditLimit { amount } paymentTerms }
       orders { number customerReference exchangeRate
         totals { gross { amount currency } tax { amount currency } }
         companyTotals { gross { amount currency } tax { amount currency } }
         lines { unitPrice { amount { amount currency } per taxIncluded } net { amount currency } }
         invoices { number status open { amount currency } } }`,
    )
    expect(externalIds).toEqual([
      { system: 'crm', key: '70014' },
      { system: 'erp', key: 'C20002' },
      { system: 'erp', key: 'C20002-USD' },
      { system: 'fin', key: 'D-00006' },
    ])
    expect(accounts).toEqual([
      { key: 'C20002', currency: 'EUR', creditLimit: { amount: '110000' }, paymentTerms: 'Net 60' },
      { key: 'C20002-USD', currency: 'USD', creditLimit: { amount: '110000' }, paymentTerms: '现结' },
    ])
    const price = (amount: string, currency: string) => ({
      amount: { amount, currency },
      per: '1',
      taxIncluded: false,
    })
    // Dollars and euros at the demo's rates, in a company that keeps its books in yuan.
    expect(orders).toEqual([
      {
        number: '1015',
        customerReference: 'NL/4712',
        exchangeRate: '7.1',
        totals: {
          gross: { amount: '1930.35', currency: 'USD' },
          tax: { amount: '222.08', currency: 'USD' },
        },
        companyTotals: {
          gross: { amount: '13705.49', currency: 'CNY' },
          tax: { amount: '1576.74', currency: 'CNY' },
        },
        lines: [
          { unitPrice: price('249.99', 'USD'), net: { amount: '1249.95', currency: 'USD' } },
          { unitPrice: price('1.8333', 'USD'), net: { amount: '458.33', currency: 'USD' } },
        ],
        invoices: [],
      },
      {
        number: '1012',
        customerReference: 'NL/4711',
        exchangeRate: '7.75',
        totals: { gross: { amount: '1050.9', currency: 'EUR' }, tax: { amount: '120.9', currency: 'EUR' } },
        companyTotals: {
          gross: { amount: '8144.48', currency: 'CNY' },
          tax: { amount: '936.98', currency: 'CNY' },
        },
        lines: [{ unitPrice: price('310', 'EUR'), net: { amount: '930', currency: 'EUR' } }],
        invoices: [{ number: 'INV-000002', status: 'OPEN', open: { amount: '1050.90', currency: 'EUR' } }],
      },
    ])
  })

  it('shows yen without decimals', async () => {
    const { orders, balances } = await customer(
      '70028',
      `orders { totals { gross { amount currency } tax { amount } }
         companyTotals { gross { amount currency } }
         invoices { totals { net { amount } tax { amount } gross { amount currency } } open { amount } } }
       balances { open { amount currency } }`,
    )
    // 15 × 1003 = 15045, and 13 % of it 1955.85.
    expect(orders).toEqual([
      {
        totals: { gross: { amount: '17001', currency: 'JPY' }, tax: { amount: '1956' } },
        companyTotals: { gross: { amount: '819.44', currency: 'CNY' } },
        invoices: [
          {
            totals: {
              net: { amount: '15045' },
              tax: { amount: '1956' },
              gross: { amount: '17001', currency: 'JPY' },
            },
            open: { amount: '17001' },
          },
        ],
      },
    ])
    expect(balances).toEqual([{ open: { amount: '17001', currency: 'JPY' } }])
  })

  it('shows a prospect that no ERP knows, with empty lists and without errors', async () => {
    expect(
      await customer(
        '70035',
        `name level contacts { name } externalIds { system } accounts { key } orders { number }
         balances { open { amount } } invoices { number }`,
      ),
    ).toEqual({
      name: '深圳云帆科技有限公司',
      level: 'BASIC',
      contacts: [{ name: '陈𠮷' }],
      externalIds: [{ system: 'crm' }],
      accounts: [],
      orders: [],
      balances: [],
      invoices: [],
    })
  })
})

describe('a record that nobody has mapped', () => {
  it('is readable under the id of its own key', async () => {
    const { orderByNumber } = await gateway.data(`{
      orderByNumber(system: "erp", number: "1024") {
        number comments customerName totals { gross { amount currency } }
        customer { id name level externalIds { system key } accounts { key creditLimit { amount } }
                   orders { number } balances { open { amount } } }
        invoices { number }
      }
    }`)
    expect(orderByNumber).toEqual({
      number: '1024',
      comments: '现金零售 🧾',
      customerName: '零散客户 Walk-in customer',
      totals: { gross: { amount: '28.93', currency: 'CNY' } },
      customer: {
        id: idOf('customer', 'erp', 'C99001'),
        name: '零散客户 Walk-in customer',
        level: null,
        externalIds: [{ system: 'erp', key: 'C99001' }],
        accounts: [{ key: 'C99001', creditLimit: { amount: '0' } }],
        orders: [{ number: '1024' }],
        balances: [],
      },
      invoices: [],
    })
  })

  it('is listed with the reason, like the prospect', async () => {
    const { unmappedRecords } = await gateway.data(`{
      unmappedRecords(type: CUSTOMER) {
        totalCount pageInfo { hasNextPage } nodes { id type system { id } key label reason }
      }
    }`)
    expect(unmappedRecords).toEqual({
      totalCount: 2,
      pageInfo: { hasNextPage: false },
      nodes: [
        {
          id: idOf('customer', 'crm', '70035'),
          type: 'CUSTOMER',
          system: { id: 'crm' },
          key: '70035',
          label: '深圳云帆科技有限公司',
          reason: 'no record of another system has the same match value',
        },
        {
          id: idOf('customer', 'erp', 'C99001'),
          type: 'CUSTOMER',
          system: { id: 'erp' },
          key: 'C99001',
          label: '零散客户 Walk-in customer',
          reason: 'no record of another system has the same match value',
        },
      ],
    })
  })
})

describe('lists', () => {
  it('are complete over all pages, without a record twice', async () => {
    const seen: string[] = []
    let after: string | null = null
    do {
      const { orders }: { orders: { nodes: { key: string }[]; pageInfo: Record<string, never> } } =
        await gateway.data(
          'query Page($after: String) { orders(first: 7, after: $after) { nodes { key } pageInfo { hasNextPage endCursor } } }',
          { after },
        )
      seen.push(...orders.nodes.map((node) => node.key))
      after = orders.pageInfo.hasNextPage ? (orders.pageInfo.endCursor ?? null) : null
    } while (after !== null)
    const all = gateway.demo.world.all('erpOrders').map((order) => String(order.docEntry))
    expect(seen).toEqual(all.reverse())
  })

  it('find customers by a part of the name', async () => {
    const { customers } = await gateway.data(
      '{ customers(search: "Nordlicht") { nodes { name accounts { key } } } }',
    )
    expect(customers.nodes).toEqual([
      { name: 'Nordlicht Maschinenbau GmbH', accounts: [{ key: 'C20002' }, { key: 'C20002-USD' }] },
    ])
  })

  it('refuse a cursor of another list', async () => {
    const { orders } = await gateway.data('{ orders(first: 1) { pageInfo { endCursor } } }')
    const { errors } = await gateway.ask(
      'query P($after: String) { products(after: $after) { nodes { id } } }',
      {
        after: orders.pageInfo.endCursor,
      },
    )
    expect(errors?.[0]?.extensions.code).toBe('CURSOR_INVALID')
  })
})

describe('the graph of the gateway itself', () => {
  it('finds anything by its id', async () => {
    const { number, ...rest } = await gateway.data(
      `query Any($order: ID!, $invoice: ID!, $customer: ID!, $product: ID!, $level: ID!, $warehouse: ID!) {
        number: node(id: $order) { __typename ... on Order { number } }
        invoice: node(id: $invoice) { id ... on Invoice { status } }
        customer: node(id: $customer) { ... on Customer { name level accounts { key } } }
        product: node(id: $product) { ... on Product { sku name } }
        level: node(id: $level) { ... on InventoryLevel { onHand { value } product { sku } } }
        warehouse: node(id: $warehouse) { ... on Warehouse { name } }
      }`,
      {
        order: idOf('order', 'erp', '1'),
        invoice: idOf('invoice', 'fin', 'INV-000001'),
        customer: idOf('customer', 'erp', 'C20003'),
        product: idOf('product', 'erp', 'A00002'),
        level: idOf('inventoryLevel', 'erp', 'A00003/02'),
        warehouse: idOf('warehouse', 'erp', 'HAM'),
      },
    )
    expect(number).toEqual({ __typename: 'Order', number: '1003' })
    expect(rest).toEqual({
      invoice: { id: idOf('invoice', 'fin', 'INV-000001'), status: 'PARTIALLY_PAID' },
      customer: { name: 'Pacific Rim Trading, Inc.', level: 'PREMIUM', accounts: [{ key: 'C20003' }] },
      product: { sku: 'A00002', name: '伺服电机 750W' },
      level: { onHand: { value: '422' }, product: { sku: 'A00003' } },
      warehouse: { name: 'Hamburg' },
    })
  })

  it('says which systems there are, what they can do, and whether they can be reached', async () => {
    const { systems } = await gateway.data(
      '{ systems { id kind environment health { reachable detail code } capabilities { record action writes } } }',
    )
    expect(systems.map(({ capabilities, ...system }: { capabilities: unknown }) => system)).toEqual([
      {
        id: 'crm',
        kind: 'rest-crm',
        environment: 'TEST',
        health: { reachable: true, detail: expect.any(String), code: null },
      },
      {
        id: 'erp',
        kind: 'sap-b1',
        environment: 'TEST',
        health: { reachable: true, detail: 'SAP Business One 10.00.290, company SBODEMO_CN', code: null },
      },
      {
        id: 'fin',
        kind: 'soap-finance',
        environment: 'TEST',
        health: { reachable: true, detail: expect.any(String), code: null },
      },
    ])
    expect(systems[1].capabilities).toContainEqual({ record: 'order', action: 'cancel', writes: 'ON' })
    expect(systems[2].capabilities).toContainEqual({ record: 'payment', action: 'create', writes: 'ON' })
  })

  it('marks every answer of the demo', async () => {
    expect((await gateway.ask('{ systems { id } }')).extensions).toEqual({ demo: true })
    expect((await gateway.askOverWebSocket('{ systems { id } }')).extensions).toEqual({ demo: true })
  })
})
