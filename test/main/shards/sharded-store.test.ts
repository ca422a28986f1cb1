import { suite } from 'uvu'
import { openStore } from '../../support/open-store.ts'
import { addStoreTests } from '../../support/store-suite.ts'

const store = suite('main/shards/sharded-store')

addStoreTests(store, ['streams', 'appends'], () => openStore(2))

store.run()
