import { suite } from 'uvu'
import { MemoryStore } from '../support/memory-store.ts'
import { CONFIG } from '../support/store-helpers.ts'
import { addStoreTests, STORE_PARTS } from '../support/store-suite.ts'

const memoryStore = suite('main/memory-store')

addStoreTests(memoryStore, STORE_PARTS, async () => new MemoryStore({ defaults: CONFIG }))

memoryStore.run()
