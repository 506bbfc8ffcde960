import './engine/browser';
