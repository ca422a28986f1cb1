import { suite } from 'uvu'
import { MemoryStore } from '../support/memory-store.ts'
import { addStoreTests } from '../support/store-suite.ts'

const memoryStore = suite('main/memory-store')

addStoreTests(memoryStore, async () => new MemoryStore())

memoryStore.run()
