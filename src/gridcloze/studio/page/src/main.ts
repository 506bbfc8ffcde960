import './engine/browser'
